//! The configuration as meant.

use super::args::{Algorithm, LogFormat, MasqueradeExternal, XdpMode};
use super::effective::Effective;
use crate::attach::rules::DeviceRule;
use crate::maps::Capacity;
use crate::sync::Timeouts;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// `bpffs` if it is not given.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf/sluice";

/// What `sluice run` shall do.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where Services come from.
    pub source: SourceConfig,
    /// This node's name, in lower case.
    pub node_name: String,
    /// The cgroup v2 folder whose processes are served; `None` is the root of the cgroup v2 mount.
    pub cgroup: Option<PathBuf>,
    /// Where maps and links are pinned.
    pub bpffs: PathBuf,
    /// What tells local pods (S29, S38).
    pub detector: Detector,
    /// Whether all packets to a ClusterIP are masqueraded (S29).
    pub masquerade_all: bool,
    /// What of the traffic from outside is masqueraded (S30).
    pub masquerade_external: MasqueradeExternal,
    /// The node's primary address of its family, whatever the Node object says.
    pub node_ip: Option<IpAddr>,
    /// Prefixes that ClusterIPs are taken from (S26).
    pub service_cidrs: Vec<IpNet>,
    /// Where NodePorts are served (S39).
    pub node_port_addresses: NodePortAddresses,
    /// What devices are where the agent shall not find out itself.
    pub devices: Vec<DeviceRule>,
    /// Whether XDP is used.
    pub xdp: XdpMode,
    /// How endpoints of Services are chosen that name no algorithm (S20).
    pub algorithm: Algorithm,
    /// Ports that sources are translated to; none = those that nobody else on the node hands out.
    pub masquerade_ports: Vec<RangeInclusive<u16>>,
    /// How long flows outlive their last packet.
    pub flow_timeouts: Timeouts,
    /// How many entries new tables have.
    pub capacity: Capacity,
    /// How long a change may wait before the agent counts as unhealthy (S52).
    pub health_timeout: Duration,
    /// Where /healthz and /livez are served, if anywhere.
    pub healthz: Option<SocketAddr>,
    /// Where /metrics, /configz and /proxyMode are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Whether an address that another process has ends the agent.
    pub bind_hard_fail: bool,
    /// The log's format.
    pub log_format: LogFormat,
    /// 0 is information, 1 debugging, 2 and more everything.
    pub verbosity: u8,
}

/// Where Services come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SourceConfig {
    /// The API, with the credentials of the pod.
    InCluster,
    /// The API, with a kubeconfig.
    Kubeconfig(PathBuf),
    /// The API at this address, whatever the kubeconfig says; without one, with no credentials.
    Master {
        /// The address.
        url: String,
        /// Where credentials are.
        kubeconfig: Option<PathBuf>,
    },
    /// A folder of manifests.
    Manifests(PathBuf),
}

/// The first CIDR of each family; none of a family means that it has no detector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClusterCidrs {
    /// IPv4.
    pub v4: Option<Ipv4Net>,
    /// IPv6.
    pub v6: Option<Ipv6Net>,
}

/// Where NodePorts are served (S39).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NodePortAddresses {
    /// At the addresses of the Node object; at the preferred source of each family's default route until it appears.
    Primary,
    /// At every local address in one of these. A family that none was given for has its zero-length one here.
    Cidrs(Vec<IpNet>),
}

/// What tells local pods from others (S38).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detector {
    /// Nothing: nobody is masqueraded for not being one.
    None,
    /// Their addresses.
    Cidrs(ClusterCidrs),
    /// Their addresses: the podCIDRs of the Node object, as they are at the time.
    NodeCidrs,
    /// Their packets come in by this bridge or its ports.
    Bridge(String),
    /// Their packets come in by devices whose names start so.
    NamePrefix(String),
}

/// A configuration and what there is to say about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The same as the fields that would say all of it.
    pub effective: Effective,
    /// To be logged once logging works.
    pub notes: Vec<Note>,
}

/// What there is to say about a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// This field of the KubeProxyConfiguration is set and has no meaning; a warning.
    WithoutMeaning {
        /// Its path.
        field: String,
        /// Why.
        why: &'static str,
    },
    /// The presence of a KubeProxyConfiguration changes defaults.
    Defaults {
        /// NodePorts are served at every local address (S39).
        node_ports: bool,
        /// All traffic from outside is masqueraded (S30).
        masquerade: bool,
    },
}

impl NodePortAddresses {
    /// Every local address.
    pub fn all() -> Self {
        Self::Cidrs(vec![Ipv4Net::default().into(), Ipv6Net::default().into()])
    }

    /// Whether NodePorts are served at a local address; `primary` are the node's addresses. Loopback addresses are for S40.
    pub fn serve(&self, addr: IpAddr, primary: &[IpAddr]) -> bool {
        match self {
            Self::Primary => primary.contains(&addr),
            Self::Cidrs(cidrs) => cidrs.iter().any(|cidr| cidr.contains(&addr)),
        }
    }

    /// Whether a family's NodePorts are served at every local address.
    pub fn is_everywhere(&self, v4: bool) -> bool {
        match self {
            Self::Primary => false,
            Self::Cidrs(cidrs) => cidrs.iter().any(|cidr| cidr.prefix_len() == 0 && cidr.addr().is_ipv4() == v4),
        }
    }

    /// Whether processes of the node may use NodePorts at a loopback address (S40).
    pub fn serve_loopback(&self, addr: IpAddr) -> bool {
        matches!(self, Self::Primary) || self.serve(addr, &[])
    }
}

impl Note {
    /// Whether it is a warning; a plain information otherwise.
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::WithoutMeaning { .. })
    }

    /// What differs from the defaults without a KubeProxyConfiguration, and how to have those.
    pub fn differences(&self) -> Vec<&'static str> {
        let Self::Defaults { node_ports, masquerade } = self else { return Vec::new() };
        let node_ports = node_ports.then_some(
            "NodePorts are served at every local address (nodePortAddresses: [primary] restricts them to the node's own)",
        );
        let masquerade = masquerade.then_some(
            "all traffic from outside is masqueraded (masqueradeExternal: needed keeps clients' addresses where it can)",
        );
        node_ports.into_iter().chain(masquerade).collect()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutMeaning { field, why } => {
                write!(f, "field {field} of the KubeProxyConfiguration has no meaning here: {why}")
            }
            Self::Defaults { .. } => {
                write!(f, "as kube-proxy does with this configuration: {}", self.differences().join("; "))
            }
        }
    }
}

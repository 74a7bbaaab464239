//! The configuration as meant.

use super::args::{LogFormat, XdpMode};
use crate::attach::rules::DeviceRule;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// `--bpffs` if it is not given.
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
    /// Sources that are local pods, if a detector is configured (S29, S38).
    pub cluster_cidrs: ClusterCidrs,
    /// Prefixes that ClusterIPs are taken from (S26).
    pub service_cidrs: Vec<IpNet>,
    /// Where NodePorts are served (S39).
    pub node_port_addresses: NodePortAddresses,
    /// What devices are where the agent shall not find out itself.
    pub devices: Vec<DeviceRule>,
    /// Whether XDP is used.
    pub xdp: XdpMode,
    /// Where /healthz and /livez are served.
    pub healthz: SocketAddr,
    /// Where /metrics and /proxyMode are served.
    pub metrics: SocketAddr,
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

/// A configuration and what there is to say about it.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// To be logged once logging works.
    pub notes: Vec<Note>,
}

/// What there is to say about a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Note {
    /// These fields of the kube-proxy configuration are set and have no effect; a warning.
    WithoutEffect(Vec<String>),
    /// With a kube-proxy configuration, what is masqueraded differs from kube-proxy (S30).
    MasqueradeNeeded,
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

    /// Whether processes of the node may use NodePorts at a loopback address (S40).
    pub fn serve_loopback(&self, addr: IpAddr) -> bool {
        matches!(self, Self::Primary) || self.serve(addr, &[])
    }
}

impl Note {
    /// Whether it is a warning; a plain information otherwise.
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::WithoutEffect(_))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutEffect(fields) => {
                write!(f, "fields of the kube-proxy configuration that are set and have no effect here: {}", fields.join(", "))
            }
            Self::MasqueradeNeeded => f.write_str(
                "masqueradeExternal is `needed`, although a kube-proxy configuration is given (kube-proxy always masquerades \
                 external traffic): local endpoints see the client's address",
            ),
        }
    }
}

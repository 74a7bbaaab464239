//! The flags of `sluice run`, as typed: kube-proxy's, then our own. What is absent is `None`, so that a file can say it.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The flags of `sluice run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// kube-proxy configuration file (kubeproxy.config.k8s.io/v1alpha1), with a SluiceConfiguration as second document if need be;
    /// flags overrule it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kubeconfig with the API server's address and credentials [default: those of the pod]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Address of the API server, in place of the kubeconfig's
    #[arg(long, value_name = "URL", conflicts_with = "manifests")]
    pub master: Option<String>,
    /// Name of this node [default: the host name, in lower case]
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// Addresses of the cluster's pods: traffic to a ClusterIP from elsewhere is masqueraded
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub cluster_cidr: Option<String>,
    /// What tells local pods: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix [default: ClusterCIDR]
    #[arg(long, value_name = "MODE")]
    pub detect_local_mode: Option<String>,
    /// The pods' bridge, for --detect-local-mode BridgeInterface
    #[arg(long, value_name = "NAME")]
    pub pod_bridge_interface: Option<String>,
    /// How names of pods' devices start, for --detect-local-mode InterfaceNamePrefix
    #[arg(long, value_name = "PREFIX")]
    pub pod_interface_name_prefix: Option<String>,
    /// Where NodePorts are served: `primary` or a list of CIDRs [default: primary, or as the file says]
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub nodeport_addresses: Option<Vec<String>>,
    /// Masquerade all packets to a ClusterIP; what sockets translate has none
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub masquerade_all: Option<bool>,
    /// Where /healthz and /livez are served; empty: nowhere [default: 0.0.0.0:10256]
    #[arg(long, value_name = "IP:PORT")]
    pub healthz_bind_address: Option<String>,
    /// Where /metrics, /configz and /proxyMode are served; empty: nowhere [default: 127.0.0.1:10249]
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_bind_address: Option<String>,
    /// Take everything off the node, as `sluice cleanup` does, and end
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub cleanup: Option<bool>,
    /// Folder of manifests (Service, EndpointSlice, Node) to follow in place of the API
    #[arg(long, value_name = "DIR", conflicts_with = "kubeconfig")]
    pub manifests: Option<PathBuf>,
    /// cgroup v2 folder whose processes are served [default: the root of the cgroup v2 mount]
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
    /// Folder in a bpf file system where maps and links are pinned [default: /sys/fs/bpf/sluice]
    #[arg(long, value_name = "DIR")]
    pub bpffs: Option<PathBuf>,
    /// Prefixes that ClusterIPs are taken from: traffic to an address there that is no Service's is dropped
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub service_cidrs: Option<Vec<String>>,
    /// What devices are, where the agent should not find out itself: NAME or NAME=uplink|overlay|pod|none, `*` in NAME is any text
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    pub devices: Option<Vec<String>>,
    /// XDP on uplinks: where it is sound, nowhere, on all of them or not at all, in the kernel's generic form [default: auto]
    #[arg(long, value_enum)]
    pub xdp: Option<XdpMode>,
    /// Masquerade traffic from outside where it is needed for the reply, or always [default: needed; with a kube-proxy configuration: always]
    #[arg(long, value_enum)]
    pub masquerade_external: Option<MasqueradeExternal>,
    /// How endpoints of Services are chosen that name no algorithm: at random, or by client, on every node alike [default: random]
    #[arg(long, value_enum)]
    pub algorithm: Option<Algorithm>,
    /// Ports that sources are translated to [default: those from 1024 up that neither NodePorts nor sockets of the node get]
    #[arg(long, value_name = "FIRST-LAST,...", value_delimiter = ',')]
    pub masquerade_ports: Option<Vec<String>>,
    /// How long flows outlive their last packet, as NAME=DURATION: tcp-embryonic, tcp-established, tcp-closed, tcp-reset,
    /// udp-unanswered, udp-answered, udp-exchanged
    #[arg(long, value_name = "NAME=DURATION,...", value_delimiter = ',')]
    pub flow_timeouts: Option<Vec<String>>,
    /// How many entries tables have, as NAME=NUMBER: services, frontends, backends, slots, source-ranges, flows,
    /// udp-flows, udp-peers [default: by this machine's memory]
    #[arg(long, value_name = "NAME=NUMBER,...", value_delimiter = ',')]
    pub table_entries: Option<Vec<String>>,
    /// Format of the log [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// More log: -v (or -v=1) for debugging, -v=2 for everything
    #[arg(short, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_value_t = 0, default_missing_value = "1")]
    pub verbosity: u8,
}

/// `--xdp`.
#[derive(ValueEnum, Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// Native XDP where it is sound.
    #[default]
    Auto,
    /// No XDP.
    Off,
    /// Native XDP on every uplink, or refuse to start.
    Require,
    /// The kernel's generic XDP.
    Generic,
}

/// `--masquerade-external` (S30).
#[derive(ValueEnum, Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum MasqueradeExternal {
    /// Where the reply could not find its way back otherwise.
    #[default]
    Needed,
    /// As kube-proxy does.
    Always,
}

/// `--algorithm`, and the annotation `sluice.dev/algorithm` of a Service (S20).
#[derive(ValueEnum, Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Each connection for itself, at random.
    #[default]
    Random,
    /// By the client's address and port, on every node alike.
    Maglev,
}

impl Algorithm {
    /// The one with this name.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Random, Self::Maglev].into_iter().find(|algorithm| algorithm.as_str() == word)
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Maglev => "maglev",
        }
    }
}

/// `--log-format`.
#[derive(ValueEnum, Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

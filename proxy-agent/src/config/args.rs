//! The flags of `sluice run`, as typed.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The flags of `sluice run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// kube-proxy configuration file (kubeproxy.config.k8s.io/v1alpha1); flags overrule it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Kubeconfig with the API server's address and credentials [default: those of the pod]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Folder of manifests (Service, EndpointSlice, Node) to follow in place of the API
    #[arg(long, value_name = "DIR", conflicts_with = "kubeconfig")]
    pub manifests: Option<PathBuf>,
    /// Name of this node [default: the host name, in lower case]
    #[arg(long, value_name = "NAME")]
    pub hostname_override: Option<String>,
    /// cgroup v2 folder whose processes are served [default: the root of the cgroup v2 mount]
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
    /// Folder in a bpf file system where maps and links are pinned
    #[arg(long, value_name = "DIR", default_value = super::settings::DEFAULT_BPFFS)]
    pub bpffs: PathBuf,
    /// Addresses of the cluster's pods: traffic to a ClusterIP from elsewhere is masqueraded
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pub cluster_cidr: Option<String>,
    /// Prefixes that ClusterIPs are taken from: traffic to an address there that is no Service's is dropped
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub service_cidrs: Vec<String>,
    /// Where NodePorts are served: `primary` or a list of CIDRs [default: primary]
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub nodeport_addresses: Option<Vec<String>>,
    /// What devices are, where the agent should not find out itself: NAME or NAME=uplink|overlay|pod|none, `*` in NAME is any text
    #[arg(long, value_name = "DEVICE,...", value_delimiter = ',')]
    pub devices: Vec<String>,
    /// XDP on uplinks: where it is sound, nowhere, on all of them or not at all, in the kernel's generic form
    #[arg(long, value_enum, default_value_t)]
    pub xdp: XdpMode,
    /// Where /healthz and /livez are served [default: 0.0.0.0:10256]
    #[arg(long, value_name = "IP:PORT")]
    pub healthz_bind_address: Option<String>,
    /// Where /metrics and /proxyMode are served [default: 127.0.0.1:10249]
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_bind_address: Option<String>,
    /// Format of the log
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// More log: -v (or -v=1) for debugging, -v=2 for everything
    #[arg(short, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_value_t = 0, default_missing_value = "1")]
    pub verbosity: u8,
}

/// `--xdp`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
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

/// `--log-format`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

//! SluiceConfiguration (sluice.dev/v1alpha1): our own settings, each also a flag of the same name.
//!
//! Invariant: a field stands here only if it is acted on; an unknown one is an error.

use super::args::{Algorithm, LogFormat, MasqueradeExternal, XdpMode};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `apiVersion` of the document.
pub const API_VERSION: &str = "sluice.dev/v1alpha1";
/// `kind` of the document.
pub const KIND: &str = "SluiceConfiguration";

/// The whole document.
#[derive(Deserialize, Serialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SluiceConfiguration {
    /// What it is.
    pub api_version: String,
    /// What it is.
    pub kind: String,
    /// Folder of manifests to follow in place of the API.
    pub manifests: Option<PathBuf>,
    /// cgroup v2 folder whose processes are served.
    pub cgroup: Option<PathBuf>,
    /// Where maps and links are pinned.
    pub bpffs: Option<PathBuf>,
    /// Prefixes that ClusterIPs are taken from.
    pub service_cidrs: Option<Vec<String>>,
    /// What devices are.
    pub devices: Option<Vec<String>>,
    /// XDP on uplinks.
    pub xdp: Option<XdpMode>,
    /// What of the traffic from outside is masqueraded (S30).
    pub masquerade_external: Option<MasqueradeExternal>,
    /// How endpoints of Services are chosen that name no algorithm (S20).
    pub algorithm: Option<Algorithm>,
    /// Ports that sources are translated to.
    pub masquerade_ports: Option<Vec<String>>,
    /// How long flows outlive their last packet.
    pub flow_timeouts: Option<Vec<String>>,
    /// How many entries tables have.
    pub table_entries: Option<Vec<String>>,
    /// Format of the log.
    pub log_format: Option<LogFormat>,
}

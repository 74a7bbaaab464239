//! The configuration in force as fields that say all of it: what `/configz` answers and `sluice config check` prints.

use super::kube_proxy::KubeProxyConfiguration;
use super::overrule::Fields;
use super::settings::{Config, SourceConfig};
use super::sluice::SluiceConfiguration;
use serde::Serialize;

/// Both documents with every field, by their API groups, as kube-proxy's `/configz` answers.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Effective {
    /// kube-proxy's.
    #[serde(rename = "kubeproxy.config.k8s.io")]
    kube_proxy: KubeProxyConfiguration,
    /// Our own.
    #[serde(rename = "sluice.dev")]
    sluice: SluiceConfiguration,
    /// The settings that are acted on.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// A setting that is acted on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: String,
    /// The flag, the file or the default.
    pub by: String,
}

impl Effective {
    /// `given` are the fields before, `filled` those after defaults.
    pub fn new(given: &Fields, filled: Fields, config: &Config) -> Self {
        let rows = [kube_proxy(given, &filled, config), own(given, &filled)].concat();
        Self { kube_proxy: filled.kube_proxy, sluice: filled.sluice, rows }
    }

    /// As one JSON document.
    pub fn json(&self) -> String {
        // Texts, numbers, lists and maps with texts as keys: there is nothing that JSON can't say.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

fn kube_proxy(given: &Fields, filled: &Fields, config: &Config) -> Vec<Row> {
    let file = &filled.kube_proxy;
    let (all, masquerade_all) = filled.masquerade_all();
    let by = |field: &'static str| by_file(given, field, given.set.iter().any(|set| set == field));
    let row = |field: &'static str, value: &str| Row { field, value: or_none(value), by: by(field) };
    let local = match file.detect_local_mode.as_str() {
        "BridgeInterface" => Some(row("detectLocal.bridgeInterface", &file.detect_local.bridge_interface)),
        "InterfaceNamePrefix" => Some(row("detectLocal.interfaceNamePrefix", &file.detect_local.interface_name_prefix)),
        "ClusterCIDR" => Some(row("clusterCIDR", &file.cluster_cidr)),
        _ => None,
    };
    let ports = match file.node_port_addresses.join(", ") {
        all if all.is_empty() => "every local address".to_owned(),
        some => some,
    };
    let mut rows = source(config, by("clientConnection.kubeconfig"));
    rows.push(row("hostnameOverride", &config.node_name));
    rows.extend(Some(row("mode", &file.mode)).filter(|_| filled.has_kube_proxy));
    rows.push(row("detectLocalMode", &file.detect_local_mode));
    rows.extend(local);
    rows.push(row(all, &masquerade_all.to_string()));
    rows.push(row("nodePortAddresses", &ports));
    rows.push(row("bindAddress", &file.bind_address));
    rows.push(row("healthzBindAddress", &file.healthz_bind_address));
    rows.push(row("metricsBindAddress", &file.metrics_bind_address));
    let (period, value) = filled.sync_period();
    rows.push(row(period, &value.to_string()));
    rows.push(row("bindAddressHardFail", &file.bind_address_hard_fail.to_string()));
    rows
}

fn source(config: &Config, by: String) -> Vec<Row> {
    let field = "clientConnection.kubeconfig";
    let kubeconfig = |value: String| Row { field, value, by: by.clone() };
    match &config.source {
        SourceConfig::Manifests(_) => Vec::new(),
        SourceConfig::InCluster => vec![kubeconfig("credentials of the pod".into())],
        SourceConfig::Kubeconfig(path) => vec![kubeconfig(path.display().to_string())],
        SourceConfig::Master { url, kubeconfig: path } => {
            let path = path.as_ref().map_or("no credentials".into(), |path| path.display().to_string());
            vec![Row { field: "master", value: url.clone(), by: "--master".into() }, kubeconfig(path)]
        }
    }
}

fn own(given: &Fields, filled: &Fields) -> Vec<Row> {
    let (before, after) = (&given.sluice, &filled.sluice);
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let word = |value: Option<String>| or_none(value.unwrap_or_default().trim_matches('"'));
    let row = |field: &'static str, set: bool, value: String| Row { field, value, by: by_file(given, field, set) };
    let mut rows = Vec::new();
    rows.extend(path(&after.manifests).map(|value| row("manifests", before.manifests.is_some(), value)));
    rows.push(row("masqueradeExternal", before.masquerade_external.is_some(), word(json(&after.masquerade_external))));
    let cgroup = path(&after.cgroup).unwrap_or("root of the cgroup v2 mount".into());
    rows.push(row("cgroup", before.cgroup.is_some(), cgroup));
    rows.push(row("bpffs", before.bpffs.is_some(), word(path(&after.bpffs))));
    let cidrs = after.service_cidrs.as_ref().map(|items| items.join(", "));
    rows.push(row("serviceCidrs", before.service_cidrs.is_some(), word(cidrs)));
    let devices = after.devices.as_ref().map(|items| items.join(", ")).filter(|text| !text.is_empty());
    rows.push(row("devices", before.devices.is_some(), devices.unwrap_or("found out".into())));
    rows.push(row("xdp", before.xdp.is_some(), word(json(&after.xdp))));
    rows.push(row("algorithm", before.algorithm.is_some(), word(json(&after.algorithm))));
    let list = |items: &Option<Vec<String>>| items.as_ref().map(|items| items.join(", ")).filter(|text| !text.is_empty());
    let ports = list(&after.masquerade_ports).unwrap_or("found out".into());
    rows.push(row("masqueradePorts", before.masquerade_ports.is_some(), ports));
    let timeouts = list(&after.flow_timeouts).unwrap_or("built in".into());
    rows.push(row("flowTimeouts", before.flow_timeouts.is_some(), timeouts));
    let entries = list(&after.table_entries).unwrap_or("by memory".into());
    rows.push(row("tableEntries", before.table_entries.is_some(), entries));
    rows.push(row("logFormat", before.log_format.is_some(), word(json(&after.log_format))));
    rows
}

fn json<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn by_file(given: &Fields, field: &'static str, set: bool) -> String {
    match given.setting(field) {
        flag @ super::Setting::Flag(_) => flag.to_string(),
        _ if set => "file".into(),
        _ => "default".into(),
    }
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".into() } else { text.to_owned() }
}

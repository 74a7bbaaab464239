//! Flags over the fields of a file: after this, what is meant stands in fields, and where each came from is known.

use super::args::RunArgs;
use super::error::Setting;
use super::file::File;
use super::kube_proxy::KubeProxyConfiguration;
use super::quantity::GoDuration;
use super::sluice::SluiceConfiguration;
use std::collections::BTreeMap;

/// Fields as file and flags have them.
#[derive(Clone, PartialEq, Debug)]
pub struct Fields {
    /// kube-proxy's.
    pub kube_proxy: KubeProxyConfiguration,
    /// Our own.
    pub sluice: SluiceConfiguration,
    /// Whether the file has a document of kube-proxy's.
    pub has_kube_proxy: bool,
    /// Paths of the fields of kube-proxy's document that are set.
    pub set: Vec<String>,
    /// Fields that a flag gave, by the flag.
    by_flag: BTreeMap<&'static str, &'static str>,
}

impl Fields {
    /// The file's fields with the flags' over them.
    pub fn new(args: &RunArgs, file: Option<&File>) -> Self {
        let file = file.cloned().unwrap_or_default();
        let mut fields = Self {
            has_kube_proxy: file.kube_proxy.is_some(),
            kube_proxy: file.kube_proxy.unwrap_or_default(),
            sluice: file.sluice.unwrap_or_default(),
            set: file.set,
            by_flag: BTreeMap::new(),
        };
        fields.overrule_kube_proxy(args);
        fields.overrule_own(args);
        fields
    }

    /// Where a field's value stands.
    pub fn setting(&self, field: &'static str) -> Setting {
        self.by_flag.get(field).map_or(Setting::Field(field), |flag| Setting::Flag(flag))
    }

    /// The same for a field of our own.
    pub fn own(&self, field: &'static str) -> Setting {
        self.by_flag.get(field).map_or(Setting::Own(field), |flag| Setting::Flag(flag))
    }

    /// Whether a flag gave the field.
    pub fn by_flag(&self, field: &str) -> bool {
        self.by_flag.contains_key(field)
    }

    /// The field that holds masqueradeAll, which depends on the mode.
    pub fn masquerade_all(&self) -> (&'static str, bool) {
        if self.kube_proxy.mode == "nftables" {
            ("nftables.masqueradeAll", self.kube_proxy.nftables.masquerade_all)
        } else {
            ("iptables.masqueradeAll", self.kube_proxy.iptables.masquerade_all)
        }
    }

    /// The field that holds syncPeriod, which depends on the mode.
    pub fn sync_period(&self) -> (&'static str, GoDuration) {
        match self.kube_proxy.mode.as_str() {
            "ipvs" => ("ipvs.syncPeriod", self.kube_proxy.ipvs.sync_period),
            "nftables" => ("nftables.syncPeriod", self.kube_proxy.nftables.sync_period),
            _ => ("iptables.syncPeriod", self.kube_proxy.iptables.sync_period),
        }
    }

    fn overrule_kube_proxy(&mut self, args: &RunArgs) {
        let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
        let all = self.masquerade_all().0;
        let file = &mut self.kube_proxy;
        let by = &mut self.by_flag;
        let kubeconfig = args.kubeconfig.as_ref().map(text);
        let local = &mut file.detect_local;
        over(by, "clientConnection.kubeconfig", "kubeconfig", &kubeconfig, &mut file.client_connection.kubeconfig);
        over(by, "hostnameOverride", "hostname-override", &args.hostname_override, &mut file.hostname_override);
        over(by, "clusterCIDR", "cluster-cidr", &args.cluster_cidr, &mut file.cluster_cidr);
        over(by, "detectLocalMode", "detect-local-mode", &args.detect_local_mode, &mut file.detect_local_mode);
        over(
            by,
            "detectLocal.bridgeInterface",
            "pod-bridge-interface",
            &args.pod_bridge_interface,
            &mut local.bridge_interface,
        );
        let prefix = &args.pod_interface_name_prefix;
        over(by, "detectLocal.interfaceNamePrefix", "pod-interface-name-prefix", prefix, &mut local.interface_name_prefix);
        over(by, "nodePortAddresses", "nodeport-addresses", &args.nodeport_addresses, &mut file.node_port_addresses);
        over(by, "healthzBindAddress", "healthz-bind-address", &args.healthz_bind_address, &mut file.healthz_bind_address);
        over(by, "metricsBindAddress", "metrics-bind-address", &args.metrics_bind_address, &mut file.metrics_bind_address);
        let place = if all.starts_with("nft") { &mut file.nftables.masquerade_all } else { &mut file.iptables.masquerade_all };
        over(by, all, "masquerade-all", &args.masquerade_all, place);
    }

    fn overrule_own(&mut self, args: &RunArgs) {
        let (own, by) = (&mut self.sluice, &mut self.by_flag);
        over(by, "manifests", "manifests", &args.manifests.clone().map(Some), &mut own.manifests);
        over(by, "cgroup", "cgroup", &args.cgroup.clone().map(Some), &mut own.cgroup);
        over(by, "bpffs", "bpffs", &args.bpffs.clone().map(Some), &mut own.bpffs);
        over(by, "serviceCidrs", "service-cidrs", &args.service_cidrs.clone().map(Some), &mut own.service_cidrs);
        over(by, "devices", "devices", &args.devices.clone().map(Some), &mut own.devices);
        over(by, "xdp", "xdp", &args.xdp.map(Some), &mut own.xdp);
        let external = args.masquerade_external.map(Some);
        over(by, "masqueradeExternal", "masquerade-external", &external, &mut own.masquerade_external);
        over(by, "algorithm", "algorithm", &args.algorithm.map(Some), &mut own.algorithm);
        over(by, "masqueradePorts", "masquerade-ports", &args.masquerade_ports.clone().map(Some), &mut own.masquerade_ports);
        over(by, "flowTimeouts", "flow-timeouts", &args.flow_timeouts.clone().map(Some), &mut own.flow_timeouts);
        over(by, "tableEntries", "table-entries", &args.table_entries.clone().map(Some), &mut own.table_entries);
        over(by, "logFormat", "log-format", &args.log_format.map(Some), &mut own.log_format);
    }
}

fn over<T: Clone>(
    by_flag: &mut BTreeMap<&'static str, &'static str>,
    field: &'static str,
    flag: &'static str,
    given: &Option<T>,
    place: &mut T,
) {
    if let Some(value) = given {
        place.clone_from(value);
        by_flag.insert(field, flag);
    }
}

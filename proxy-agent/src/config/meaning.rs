//! Fields of kube-proxy's document that have no meaning here, each with the reason.

use super::overrule::Fields;

/// Fields that are acted on, whatever else is set.
const ACTED_ON: [&str; 9] = [
    "clientConnection.kubeconfig",
    "hostnameOverride",
    "bindAddress",
    "bindAddressHardFail",
    "healthzBindAddress",
    "metricsBindAddress",
    "mode",
    "nodePortAddresses",
    "detectLocalMode",
];

/// By the beginning of a field's path, why it has no meaning; the first that fits counts.
const REASONS: [(&str, &str); 19] = [
    ("iptables.localhostNodePorts", "nodePortAddresses says where NodePorts are served, loopback included"),
    ("iptables.masqueradeAll", "mode is nftables, whose masqueradeAll counts"),
    ("nftables.masqueradeAll", "mode is not nftables: iptables.masqueradeAll counts"),
    ("iptables.", "there are no iptables rules"),
    ("ipvs.", "there is no IPVS"),
    ("nftables.", "there are no nftables rules"),
    ("winkernel.", "this is not Windows"),
    ("windowsRunAsService", "this is not Windows"),
    ("conntrack.", "no Service uses connection tracking"),
    ("clientConnection.", "all requests are four watches, and Events"),
    ("clusterCIDR", "detectLocalMode is not ClusterCIDR"),
    ("detectLocal.", "detectLocalMode is another"),
    ("featureGates.", "no feature depends on it"),
    ("logging.", "the log has logFormat and -v"),
    ("enableProfiling", "there is no Go profile"),
    ("showHiddenMetricsForVersion", "no metric is hidden"),
    ("configSyncPeriod", "nothing is listed periodically"),
    ("oomScoreAdj", "the container runtime sets it by the pod's priority"),
    ("", "kube-proxy ignores it, too"),
];

/// The fields that are set and have no meaning, in alphabetical order, and why.
pub fn without(fields: &Fields) -> Vec<(String, &'static str)> {
    let mut found: Vec<_> = fields.set.iter().filter(|field| !is_acted_on(fields, field)).cloned().collect();
    if fields.kube_proxy.iptables.localhost_node_ports == Some(false) {
        found.push("iptables.localhostNodePorts".into());
    }
    if fields.sluice.manifests.is_some() && fields.set.iter().any(|field| field == "clientConnection.kubeconfig") {
        found.push("clientConnection.kubeconfig".into());
    }
    found.sort();
    found.into_iter().map(|field| (reason(fields, &field), field)).map(|(why, field)| (field, why)).collect()
}

fn is_acted_on(fields: &Fields, field: &str) -> bool {
    let local = |mode: &str| fields.kube_proxy.detect_local_mode == mode;
    match field {
        "clusterCIDR" => local("ClusterCIDR"),
        "detectLocal.bridgeInterface" => local("BridgeInterface"),
        "detectLocal.interfaceNamePrefix" => local("InterfaceNamePrefix"),
        "logging.format" => true,
        field if field == fields.masquerade_all().0 || field == fields.sync_period().0 => true,
        field => ACTED_ON.contains(&field),
    }
}

fn reason(fields: &Fields, field: &str) -> &'static str {
    if field == "clientConnection.kubeconfig" && fields.sluice.manifests.is_some() {
        return "objects come from a folder of manifests";
    }
    REASONS.iter().find(|(start, _)| field.starts_with(start)).map_or("", |(_, why)| why)
}

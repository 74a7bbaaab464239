//! What is refused: every refusal names the field or flag and says what to write.

use super::fixture::{file, load, refusal};

#[test]
fn values_that_kube_proxy_refuses() {
    for (field, yaml, value, instead) in [
        ("mode", "mode: userspace", "userspace", "iptables, ipvs, nftables or nothing"),
        ("bindAddress", "bindAddress: here", "here", "an IP address"),
        ("healthzBindAddress", "healthzBindAddress: here", "here", "IP:PORT"),
        ("healthzBindAddress", "healthzBindAddress: 1.1.1.1:0", "1.1.1.1:0", "IP:PORT"),
        ("metricsBindAddress", "metricsBindAddress: 1.1.1.1:65536", "1.1.1.1:65536", "IP:PORT"),
        ("nodePortAddresses", "nodePortAddresses: [10.0.0.0]", "10.0.0.0", "a CIDR"),
        ("nodePortAddresses", "nodePortAddresses: [primary, 10.0.0.0/8]", "primary,10.0.0.0/8", "either primary or CIDRs"),
        ("clusterCIDR", "clusterCIDR: ten", "ten", "a CIDR such as"),
        ("clusterCIDR", "clusterCIDR: '10.0.0.0/8,11.0.0.0/8'", "10.0.0.0/8,11.0.0.0/8", "one CIDR of each family"),
        ("detectLocalMode", "detectLocalMode: Guess", "Guess", "ClusterCIDR, NodeCIDR"),
        ("detectLocal.bridgeInterface", "detectLocalMode: BridgeInterface", "", "a device's name"),
        ("detectLocal.interfaceNamePrefix", "detectLocalMode: InterfaceNamePrefix", "", "a device's name"),
        ("oomScoreAdj", "oomScoreAdj: 1001", "1001", "a number from -1000"),
        ("iptables.masqueradeBit", "iptables: {masqueradeBit: 32}", "32", "a number from 0 to 31"),
        ("nftables.masqueradeBit", "mode: nftables\nnftables: {masqueradeBit: -1}", "-1", "a number from 0 to 31"),
        ("conntrack.maxPerCore", "conntrack: {maxPerCore: -1}", "-1", "a number from 0 up"),
        ("conntrack.min", "conntrack: {min: -1}", "-1", "a number from 0 up"),
        ("conntrack.tcpEstablishedTimeout", "conntrack: {tcpEstablishedTimeout: -1s}", "-1s", "from 0s up"),
        ("conntrack.tcpCloseWaitTimeout", "conntrack: {tcpCloseWaitTimeout: -1s}", "-1s", "from 0s up"),
        ("conntrack.udpTimeout", "conntrack: {udpTimeout: -1s}", "-1s", "from 0s up"),
        ("conntrack.udpStreamTimeout", "conntrack: {udpStreamTimeout: -1s}", "-1s", "from 0s up"),
        ("clientConnection.burst", "clientConnection: {burst: -1}", "-1", "a number from 0 up"),
        ("configSyncPeriod", "configSyncPeriod: -1s", "-1s", "above 0s"),
        ("iptables.syncPeriod", "iptables: {syncPeriod: -1s}", "-1s", "above 0s"),
        ("iptables.minSyncPeriod", "iptables: {minSyncPeriod: -1s}", "-1s", "from 0s up"),
        ("iptables.syncPeriod", "iptables: {syncPeriod: 1s, minSyncPeriod: 2s}", "1s", "at least minSyncPeriod"),
        ("nftables.syncPeriod", "mode: nftables\nnftables: {minSyncPeriod: 1h}", "30s", "at least minSyncPeriod"),
        ("ipvs.syncPeriod", "mode: ipvs\nipvs: {syncPeriod: -1m}", "-1m0s", "above 0s"),
        ("ipvs.tcpTimeout", "mode: ipvs\nipvs: {tcpTimeout: -1s}", "-1s", "from 0s up"),
        ("ipvs.tcpFinTimeout", "mode: ipvs\nipvs: {tcpFinTimeout: -1s}", "-1s", "from 0s up"),
        ("ipvs.udpTimeout", "mode: ipvs\nipvs: {udpTimeout: -1s}", "-1s", "from 0s up"),
        ("ipvs.excludeCIDRs", "mode: ipvs\nipvs: {excludeCIDRs: [ten]}", "ten", "a CIDR"),
        ("logging.format", "logging: {format: xml}", "xml", "text or json"),
        ("logging.flushFrequency", "logging: {flushFrequency: -1s}", "-1s", "above 0s"),
        ("logging.verbosity", "logging: {verbosity: 2147483648}", "2147483648", "up to 2147483647"),
        ("logging.vmodule", "logging: {vmodule: [{filePattern: 'a=b', verbosity: 1}]}", "a=b", "without = and comma"),
        ("logging.vmodule", "logging: {format: json, vmodule: [{filePattern: a}]}", "a", "logging.format text"),
        ("showHiddenMetricsForVersion", "showHiddenMetricsForVersion: last", "last", "1.35"),
    ] {
        let text = refusal("", yaml);
        let start = format!("field {field} of the KubeProxyConfiguration: {value:?} is not valid; write ");
        assert!(text.starts_with(&start) && text.contains(instead), "{yaml}: {text}");
    }
}

#[test]
fn what_kube_proxy_does_not_look_at_is_no_reason() {
    for fields in [
        "nftables: {masqueradeBit: 99, syncPeriod: -1s}",
        "ipvs: {syncPeriod: -1s, tcpTimeout: -1s, excludeCIDRs: [ten]}",
        "detectLocalMode: NodeCIDR\nclusterCIDR: ten",
    ] {
        load("", fields).unwrap();
    }
}

/// What is refused there by the version of kube-proxy alone: gates come and go with each, and options of its log need one.
#[test]
fn feature_gates_are_not_looked_at() {
    for fields in [
        "featureGates: {NoSuchGate: true}",
        "logging: {options: {text: {splitStream: true, infoBufferSize: 64Ki}}}",
        "showHiddenMetricsForVersion: '1.20'",
    ] {
        load("", fields).unwrap();
    }
}

/// Of kubeadm's ConfigMaps before Kubernetes 1.13.
#[test]
fn fields_that_kubernetes_has_dropped_are_known() {
    load("", "conntrack: {max: null, maxPerCore: 32768}\nresourceContainer: /kube-proxy\nudpIdleTimeout: 250ms").unwrap();
    load("", "conntrack: {max: 0}").unwrap();
}

#[test]
fn an_ipv6_address_with_a_port_has_brackets() {
    for address in ["'2001:db8:1:2:3:4:5:6:10256'", "'[::1]'", "'[192.0.2.1]:10256'"] {
        let text = refusal("", &format!("healthzBindAddress: {address}"));
        assert!(text.contains("write IP:PORT such as 0.0.0.0:10256 or [::]:10256"), "{text}");
    }
    load("", "healthzBindAddress: '::1'\nmetricsBindAddress: '[::1]:10249'").unwrap();
}

#[test]
fn flags_are_named_as_flags() {
    for (flags, message) in [
        ("--cluster-cidr ten", "--cluster-cidr: \"ten\" is not valid; write a CIDR such as"),
        ("--nodeport-addresses primary,::/0", "--nodeport-addresses: \"primary,::/0\""),
        ("--detect-local-mode Guess", "--detect-local-mode: \"Guess\""),
        ("--detect-local-mode BridgeInterface --pod-bridge-interface=", "--pod-bridge-interface: \"\""),
        ("--healthz-bind-address x:y", "--healthz-bind-address: \"x:y\""),
        ("--metrics-bind-address 1.1.1.1:0", "--metrics-bind-address"),
        ("--master 192.0.2.1", "--master: \"192.0.2.1\" is not valid; write a URL such as https://"),
    ] {
        let text = refusal(flags, "");
        assert!(text.starts_with(message), "{flags}: {text}");
    }
}

#[test]
fn shape_is_named_by_line() {
    for (fields, line, message) in [
        ("clusterCDIR: 10.0.0.0/8", 3, "clusterCDIR"),
        ("iptables:\n  masqueradeAl: true", 4, "masqueradeAl"),
        ("iptables: {syncPeriod: soon}", 3, "a duration such as 30s"),
        ("mode: [a]", 3, "string"),
    ] {
        let text = refusal("", fields);
        assert!(text.starts_with(&format!("config.conf:{line}: ")) && text.contains(message), "{fields}: {text}");
        assert!(text.contains("fields are those of kubeproxy.config.k8s.io/v1alpha1"), "{text}");
    }
}

#[test]
fn another_kind_is_refused() {
    for text in ["apiVersion: v1\nkind: ConfigMap\n", "", "mode: ipvs\n"] {
        let error = file(text).unwrap_err().to_string();
        assert!(error.contains("write apiVersion: kubeproxy.config.k8s.io/v1alpha1"), "{error}");
    }
}

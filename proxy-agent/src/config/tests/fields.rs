//! What kube-proxy's fields and flags mean.

use super::fixture::{HOST, args, load, whole};
use crate::config::*;
use std::net::IpAddr;
use std::path::Path;

fn warnings(loaded: &Loaded) -> Vec<String> {
    loaded.notes.iter().filter(|note| note.is_warning()).map(ToString::to_string).collect()
}

fn v4(text: &str) -> ClusterCidrs {
    ClusterCidrs { v4: Some(text.parse().unwrap()), v6: None }
}

#[test]
fn without_anything() {
    let Loaded { config, notes, .. } = args("").resolve(None, HOST).unwrap();
    assert_eq!(config.source, SourceConfig::InCluster);
    assert_eq!(config.node_name, "node-1");
    assert_eq!(config.node_port_addresses, NodePortAddresses::Primary);
    assert_eq!((config.detector, config.masquerade_all), (Detector::None, false));
    assert_eq!(config.masquerade_external, MasqueradeExternal::Needed);
    assert_eq!(config.bpffs, Path::new("/sys/fs/bpf/sluice"));
    assert_eq!(config.healthz.unwrap().to_string(), "0.0.0.0:10256");
    assert_eq!(config.metrics.unwrap().to_string(), "127.0.0.1:10249");
    assert_eq!((config.xdp, config.log_format, config.verbosity), (XdpMode::Auto, LogFormat::Text, 0));
    assert_eq!(notes, []);
}

#[test]
fn kubeadm_config_map_unchanged() {
    let Loaded { config, notes, .. } = whole(include_str!("../../../tests/fixtures/kubeadm-1.36-config.conf"));
    assert_eq!(config.source, SourceConfig::Kubeconfig("/var/lib/kube-proxy/kubeconfig.conf".into()));
    let cidrs = ClusterCidrs { v6: Some("fd00:10:244::/56".parse().unwrap()), ..v4("10.244.0.0/16") };
    assert_eq!(config.detector, Detector::Cidrs(cidrs));
    assert_eq!(config.node_port_addresses, NodePortAddresses::all());
    assert_eq!(config.masquerade_external, MasqueradeExternal::Always);
    assert_eq!(config.healthz.unwrap().to_string(), "0.0.0.0:10256");
    assert_eq!(notes, [Note::Defaults { node_ports: true, masquerade: true }]);
}

/// As kube-proxy's servers are healthy for two periods of the mode in force (S52).
#[test]
fn s52_the_health_timeout_follows_the_sync_period() {
    for (fields, seconds) in [
        ("", 60),
        ("iptables: {syncPeriod: 10s}\nnftables: {syncPeriod: 20s}", 20),
        ("mode: nftables\niptables: {syncPeriod: 10s}\nnftables: {syncPeriod: 20s}", 40),
    ] {
        let loaded = load("", fields).unwrap();
        assert_eq!(loaded.config.health_timeout.as_secs(), seconds, "{fields}");
        assert!(!warnings(&loaded).iter().any(|warning| warning.contains(if seconds == 20 {
            "iptables.s"
        } else {
            "nftables.sy"
        })));
    }
}

#[test]
fn k3s_shape() {
    let Loaded { config, notes, .. } = whole(include_str!("../../../tests/fixtures/k3s-config.yaml"));
    assert_eq!(config.source, SourceConfig::Kubeconfig("/var/lib/rancher/k3s/agent/kubeproxy.kubeconfig".into()));
    assert_eq!(config.healthz.unwrap().to_string(), "127.0.0.1:10256", "the port is appended");
    assert_eq!((config.node_name.as_str(), config.detector), ("agent-0", Detector::Cidrs(v4("10.42.0.0/16"))));
    assert_eq!(notes.len(), 1, "zero is what kube-proxy takes for unset: {notes:?}");
}

#[test]
fn eks_shape() {
    let loaded = whole(include_str!("../../../tests/fixtures/eks-config.yaml"));
    assert_eq!((loaded.config.detector.clone(), loaded.config.metrics.unwrap().port()), (Detector::None, 10249));
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 12, "one for each field that is set: {warnings:#?}");
    let dropped = "field udpIdleTimeout of the KubeProxyConfiguration has no meaning here: kube-proxy ignores it, too";
    assert!(warnings.contains(&dropped.to_owned()), "{warnings:#?}");
}

#[test]
fn gke_shape_with_settings_of_our_own() {
    let Loaded { config, notes, .. } = whole(include_str!("../../../tests/fixtures/gke-config.yaml"));
    assert_eq!((config.detector, config.masquerade_all), (Detector::NodeCidrs, true));
    assert_eq!(config.node_port_addresses, NodePortAddresses::Primary, "mode nftables");
    assert_eq!((config.masquerade_external, config.xdp), (MasqueradeExternal::Needed, XdpMode::Off));
    assert_eq!(config.devices.len(), 2);
    assert!(notes.iter().all(Note::is_warning), "no default is changed: {notes:?}");
}

#[test]
fn every_field_is_read() {
    let loaded = whole(include_str!("../../../tests/fixtures/every-field-config.conf"));
    let config = &loaded.config;
    assert_eq!(config.node_name, "other");
    let cidrs = vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()];
    assert_eq!(config.node_port_addresses, NodePortAddresses::Cidrs(cidrs));
    assert_eq!(config.healthz.unwrap().to_string(), "[::]:1");
    assert_eq!(config.metrics.unwrap().to_string(), "[::1]:10249");
    assert_eq!(config.node_ip, Some("fd00::1".parse().unwrap()));
    assert_eq!((config.detector.clone(), config.masquerade_all, config.bind_hard_fail), (Detector::NodeCidrs, true, true));
}

#[test]
fn flags_overrule_the_file() {
    let fields = "clientConnection: {kubeconfig: /file}\nhostnameOverride: file\nclusterCIDR: 10.0.0.0/8\nnodePortAddresses: [primary]\n\
                  healthzBindAddress: 1.1.1.1:1\nmetricsBindAddress: 1.1.1.1:2\niptables: {masqueradeAll: true}\n";
    let flags = "--kubeconfig /flag --hostname-override FLAG --cluster-cidr 11.0.0.0/8 --nodeport-addresses 192.168.0.0/16,fd00::/8 \
                 --healthz-bind-address 2.2.2.2 --metrics-bind-address [::1]:4 --masquerade-all=false";
    let config = load(flags, fields).unwrap().config;
    assert_eq!(config.source, SourceConfig::Kubeconfig("/flag".into()));
    assert_eq!(config.node_name, "flag");
    assert_eq!(config.detector, Detector::Cidrs(v4("11.0.0.0/8")));
    let cidrs = vec!["192.168.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
    assert_eq!(config.node_port_addresses, NodePortAddresses::Cidrs(cidrs));
    let bound = (config.healthz.unwrap().to_string(), config.metrics.unwrap().to_string());
    assert_eq!(bound, ("2.2.2.2:10256".into(), "[::1]:4".into()));
    assert!(!config.masquerade_all);
    let manifests = load("--manifests /tmp", fields).unwrap();
    assert_eq!(manifests.config.source, SourceConfig::Manifests("/tmp".into()));
    assert!(warnings(&manifests)[0].contains("clientConnection.kubeconfig"), "{:?}", manifests.notes);
}

#[test]
fn flags_without_a_file() {
    let config = args("--masquerade-all --healthz-bind-address= --master https://192.0.2.1:6443 --cleanup").resolve(None, HOST);
    let config = config.unwrap().config;
    assert!(config.masquerade_all);
    assert_eq!(config.healthz, None, "empty: not served");
    assert_eq!(config.source, SourceConfig::Master { url: "https://192.0.2.1:6443/".into(), kubeconfig: None });
    assert_eq!(args("--cleanup").cleanup, Some(true));
}

#[test]
fn s29_masquerade_all_is_that_of_the_mode() {
    for (fields, all) in [
        ("iptables: {masqueradeAll: true}", true),
        ("mode: ipvs\niptables: {masqueradeAll: true}", true),
        ("mode: nftables\niptables: {masqueradeAll: true}", false),
        ("mode: nftables\nnftables: {masqueradeAll: true}", true),
        ("nftables: {masqueradeAll: true}", false),
    ] {
        let loaded = load("", fields).unwrap();
        assert_eq!((loaded.config.masquerade_all, warnings(&loaded).is_empty()), (all, all), "{fields}");
    }
    assert!(load("--masquerade-all", "mode: nftables").unwrap().config.masquerade_all);
}

#[test]
fn s30_a_kube_proxy_configuration_masquerades_as_kube_proxy_does() {
    assert_eq!(load("", "").unwrap().config.masquerade_external, MasqueradeExternal::Always);
    let needed = load("--masquerade-external needed", "mode: nftables").unwrap();
    assert_eq!((needed.config.masquerade_external, needed.notes), (MasqueradeExternal::Needed, vec![]));
}

#[test]
fn s38_detectors() {
    for (flags, fields, detector) in [
        ("--cluster-cidr 10.0.0.0/8", "", Detector::Cidrs(v4("10.0.0.0/8"))),
        ("", "clusterCIDR: ''", Detector::None),
        ("--detect-local-mode NodeCIDR", "clusterCIDR: 10.0.0.0/8", Detector::NodeCidrs),
        ("", "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cbr0}", Detector::Bridge("cbr0".into())),
        ("--detect-local-mode=InterfaceNamePrefix --pod-interface-name-prefix=veth", "", Detector::NamePrefix("veth".into())),
    ] {
        assert_eq!(load(flags, fields).unwrap().config.detector, detector, "{flags} {fields}");
    }
    for (flags, mode) in [("", "detectLocalMode: NodeCIDR\n"), ("--detect-local-mode NodeCIDR", "")] {
        let loaded = load(flags, &format!("{mode}clusterCIDR: 10.0.0.0/8")).unwrap();
        let warning = "clusterCIDR of the KubeProxyConfiguration has no meaning here: detectLocalMode is not ClusterCIDR";
        assert!(warnings(&loaded)[0].ends_with(warning), "{:?}", loaded.notes);
    }
}

#[test]
fn s38_node_cidrs_are_those_of_the_node() {
    let node = v4("10.244.3.0/24");
    assert_eq!(Detector::NodeCidrs.cidrs(node), node);
    assert_eq!(Detector::Cidrs(v4("10.0.0.0/8")).cidrs(node), v4("10.0.0.0/8"));
    assert_eq!(Detector::Bridge("cbr0".into()).cidrs(node), ClusterCidrs::default());
}

#[test]
fn s39_defaults() {
    for (mode, addresses) in [
        ("''", NodePortAddresses::all()),
        ("iptables", NodePortAddresses::all()),
        ("ipvs", NodePortAddresses::all()),
        ("nftables", NodePortAddresses::Primary),
    ] {
        assert_eq!(load("", &format!("mode: {mode}")).unwrap().config.node_port_addresses, addresses, "{mode}");
    }
}

#[test]
fn s39_s40_addresses() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let listed = load("--nodeport-addresses 192.168.0.0/16", "").unwrap().config.node_port_addresses;
    assert!(listed.serve(ip("192.168.1.1"), &[]) && !listed.serve(ip("10.0.0.1"), &[ip("10.0.0.1")]));
    assert!(!listed.serve_loopback(ip("127.0.0.1")) && listed.serve_loopback(ip("::1")), "no list for IPv6: all of it");
    assert!(!listed.is_everywhere(true) && listed.is_everywhere(false));
    let primary = NodePortAddresses::Primary;
    assert!(primary.serve(ip("10.0.0.1"), &[ip("10.0.0.1")]) && !primary.serve(ip("10.0.0.2"), &[ip("10.0.0.1")]));
    assert!(primary.serve_loopback(ip("127.0.0.1")) && NodePortAddresses::all().serve_loopback(ip("127.0.0.1")));
}

#[test]
fn the_log_is_that_of_the_file_or_the_flag() {
    assert_eq!(load("", "logging: {format: json}").unwrap().config.log_format, LogFormat::Json);
    assert_eq!(load("--log-format text", "logging: {format: json}").unwrap().config.log_format, LogFormat::Text);
    for (flags, verbosity) in [("", 0), ("-v", 1), ("-v=2", 2)] {
        assert_eq!(args(flags).verbosity, verbosity, "{flags}");
    }
}

#[test]
fn no_host_name() {
    let error = args("").resolve(None, " ").unwrap_err();
    assert_eq!(error, ConfigError::NoHostname);
}

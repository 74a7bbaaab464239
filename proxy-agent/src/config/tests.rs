//! Flags and files into configurations.

use super::file::{self, File};
use super::*;
use clap::Parser;
use std::path::Path;

#[derive(Parser)]
struct Run {
    #[command(flatten)]
    args: RunArgs,
}

fn args(flags: &str) -> RunArgs {
    Run::try_parse_from(std::iter::once("run").chain(flags.split_whitespace())).unwrap().args
}

fn file(text: &str) -> Result<File, ConfigError> {
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    file::parse(Path::new("config.conf"), &format!("{head}{text}"))
}

fn load(flags: &str, fields: &str) -> Result<Loaded, ConfigError> {
    args(flags).resolve(Some(&file(fields)?), "Node-1")
}

fn refusal(flags: &str, fields: &str) -> String {
    load(flags, fields).unwrap_err().to_string()
}

#[test]
fn without_anything() {
    let Loaded { config, notes } = args("").resolve(None, "Node-1").unwrap();
    assert_eq!(config.source, SourceConfig::InCluster);
    assert_eq!(config.node_name, "node-1");
    assert_eq!(config.node_port_addresses, NodePortAddresses::Primary);
    assert_eq!(config.cluster_cidrs, ClusterCidrs::default());
    assert_eq!(config.bpffs, Path::new("/sys/fs/bpf/sluice"));
    assert_eq!(config.healthz.to_string(), "0.0.0.0:10256");
    assert_eq!(config.metrics.to_string(), "127.0.0.1:10249");
    assert_eq!((config.xdp, config.log_format, config.verbosity), (XdpMode::Auto, LogFormat::Text, 0));
    assert_eq!(notes, []);
}

#[test]
fn kubeadm_config_map_unchanged() {
    let text = include_str!("../../tests/fixtures/kubeadm-1.36-config.conf");
    let file = file::parse(Path::new("config.conf"), text).unwrap();
    let Loaded { config, notes } = args("").resolve(Some(&file), "Node-1").unwrap();
    assert_eq!(config.source, SourceConfig::Kubeconfig("/var/lib/kube-proxy/kubeconfig.conf".into()));
    assert_eq!(config.cluster_cidrs.v4, Some("10.244.0.0/16".parse().unwrap()));
    assert_eq!(config.cluster_cidrs.v6, Some("fd00:10:244::/56".parse().unwrap()));
    assert_eq!(config.node_port_addresses, NodePortAddresses::all());
    assert_eq!(config.healthz.to_string(), "0.0.0.0:10256");
    assert_eq!(notes, [Note::MasqueradeNeeded]);
}

#[test]
fn every_field_parses_and_is_named() {
    let text = include_str!("../../tests/fixtures/every-field-config.conf");
    let file = file::parse(Path::new("config.conf"), text).unwrap();
    let loaded = args("").resolve(Some(&file), "Node-1").unwrap();
    let Note::WithoutEffect(fields) = &loaded.notes[0] else { panic!("{:?}", loaded.notes) };
    assert_named(fields);
    assert_eq!(loaded.config.node_name, "other");
    assert_eq!(
        loaded.config.node_port_addresses,
        NodePortAddresses::Cidrs(vec!["10.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()])
    );
    assert_eq!(loaded.config.healthz.to_string(), "[::]:1");
    assert_eq!(loaded.config.metrics.to_string(), "[::1]:10249");
    assert_eq!(loaded.config.cluster_cidrs, ClusterCidrs::default(), "NodeCIDR is no detector here");
}

fn assert_named(fields: &[String]) {
    let expected = include_str!("../../tests/fixtures/every-field-without-effect.txt");
    assert_eq!(fields.join("\n"), expected.trim_end());
}

#[test]
fn flags_overrule_the_file() {
    let fields = "clientConnection: {kubeconfig: /file}\nhostnameOverride: file\nclusterCIDR: 10.0.0.0/8\nnodePortAddresses: [primary]\n\
                  healthzBindAddress: 1.1.1.1:1\nmetricsBindAddress: 1.1.1.1:2\n";
    let flags = "--kubeconfig /flag --hostname-override FLAG --cluster-cidr 11.0.0.0/8 --nodeport-addresses 192.168.0.0/16,fd00::/8 \
                 --healthz-bind-address 2.2.2.2 --metrics-bind-address [::1]:4";
    let config = load(flags, fields).unwrap().config;
    assert_eq!(config.source, SourceConfig::Kubeconfig("/flag".into()));
    assert_eq!(config.node_name, "flag");
    assert_eq!(config.cluster_cidrs.v4, Some("11.0.0.0/8".parse().unwrap()));
    let cidrs = vec!["192.168.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()];
    assert_eq!(config.node_port_addresses, NodePortAddresses::Cidrs(cidrs));
    assert_eq!((config.healthz.to_string(), config.metrics.to_string()), ("2.2.2.2:10256".into(), "[::1]:4".into()));
    let manifests = load("--manifests /tmp", fields).unwrap();
    assert_eq!(manifests.config.source, SourceConfig::Manifests("/tmp".into()));
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
    let ip = |text: &str| text.parse().unwrap();
    let listed = load("--nodeport-addresses 192.168.0.0/16", "").unwrap().config.node_port_addresses;
    assert!(listed.serve(ip("192.168.1.1"), &[]) && !listed.serve(ip("10.0.0.1"), &[ip("10.0.0.1")]));
    assert!(!listed.serve_loopback(ip("127.0.0.1")) && listed.serve_loopback(ip("::1")), "no list for IPv6: all of it");
    let primary = NodePortAddresses::Primary;
    assert!(primary.serve(ip("10.0.0.1"), &[ip("10.0.0.1")]) && !primary.serve(ip("10.0.0.2"), &[ip("10.0.0.1")]));
    assert!(primary.serve_loopback(ip("127.0.0.1")) && NodePortAddresses::all().serve_loopback(ip("127.0.0.1")));
}

#[test]
fn other_detectors_are_named() {
    let loaded = load("--cluster-cidr 10.0.0.0/8", "detectLocalMode: NodeCIDR").unwrap();
    assert_eq!(loaded.config.cluster_cidrs, ClusterCidrs::default());
    assert_eq!(
        loaded.notes[0].to_string(),
        "fields of the kube-proxy configuration that are set and have no effect here: detectLocalMode NodeCIDR (there is no \
         local-traffic detector)"
    );
}

#[test]
fn refusals_name_the_field_and_what_to_write() {
    for (flags, fields, message) in [
        ("", "clusterCDIR: 10.0.0.0/8", "line 3"),
        ("", "clusterCDIR: 10.0.0.0/8", "clusterCDIR"),
        ("", "iptables:\n  masqueradeAl: true", "line 4"),
        ("", "iptables:\n  masqueradeAl: true", "masqueradeAl"),
        ("", "iptables: {syncPeriod: soon}", "a duration such as 30s"),
        (
            "",
            "oomScoreAdj: 1001",
            "field oomScoreAdj of the kube-proxy configuration: \"1001\" is not valid; write a number from",
        ),
        (
            "",
            "mode: userspace",
            "field mode of the kube-proxy configuration: \"userspace\" is not valid; write iptables, ipvs, nft",
        ),
        ("", "detectLocalMode: Guess", "detectLocalMode"),
        ("", "clusterCIDR: 10.0.0.0/8,11.0.0.0/8", "one CIDR of each family"),
        (
            "",
            "clusterCIDR: ten",
            "field clusterCIDR of the kube-proxy configuration: \"ten\" is not valid; write a CIDR such as",
        ),
        ("", "nodePortAddresses: [primary, 10.0.0.0/8]", "either primary or CIDRs"),
        ("", "healthzBindAddress: here", "IP:PORT"),
        ("", "configSyncPeriod: -1s", "configSyncPeriod"),
        ("--cluster-cidr ten", "", "--cluster-cidr: \"ten\" is not valid; write a CIDR such as"),
        ("--devices eth0=fast", "", "--devices: device eth0"),
        ("--metrics-bind-address 1.1.1.1:0", "", "--metrics-bind-address"),
        ("--manifests /does/not/exist", "", "name an existing folder"),
    ] {
        let text = refusal(flags, fields);
        assert!(text.contains(message), "{flags} {fields}: {text}");
    }
}

#[test]
fn another_kind_is_refused() {
    let text = file::parse(Path::new("x"), "apiVersion: v1\nkind: ConfigMap\n").unwrap_err().to_string();
    assert!(text.contains("write apiVersion: kubeproxy.config.k8s.io/v1alpha1"), "{text}");
}

#[test]
fn no_host_name() {
    let error = args("").resolve(None, " ").unwrap_err();
    assert_eq!(error, ConfigError::NoHostname);
}

#[test]
fn verbosity() {
    for (flags, verbosity) in [("", 0), ("-v", 1), ("-v=2", 2)] {
        assert_eq!(args(flags).verbosity, verbosity, "{flags}");
    }
}

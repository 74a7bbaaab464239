//! The SluiceConfiguration.

use super::fixture::{args, file, own};
use crate::config::*;
use crate::maps::Capacity;
use crate::sync::Timeouts;
use clap::CommandFactory;
use std::path::Path;

const ALL: &str = "manifests: /tmp\ncgroup: /sys/fs/cgroup/a\nbpffs: /sys/fs/bpf/b\ndevices: [eth0]\nxdp: \"off\"\n\
                   masqueradeExternal: always\nserviceCidrs: [10.96.0.0/16]\nalgorithm: maglev\nmasqueradePorts: [61000-61999]\n\
                   flowTimeouts: [tcp-established=2h, udp-answered=60s]\ntableEntries: [flows=1000000]\nlogFormat: json\n";

#[test]
fn every_field_is_acted_on() {
    let config = own("", ALL).unwrap().config;
    assert_eq!(config.source, SourceConfig::Manifests("/tmp".into()));
    assert_eq!(config.cgroup.as_deref(), Some(Path::new("/sys/fs/cgroup/a")));
    assert_eq!(config.bpffs, Path::new("/sys/fs/bpf/b"));
    assert_eq!((config.devices.len(), config.xdp, config.log_format), (1, XdpMode::Off, LogFormat::Json));
    assert_eq!((config.masquerade_external, config.algorithm), (MasqueradeExternal::Always, Algorithm::Maglev));
    assert_eq!(config.masquerade_ports, [61_000..=61_999]);
    let timeouts = Timeouts { established: 7_200_000, answered: 60_000, ..Timeouts::default() };
    assert_eq!(config.flow_timeouts, timeouts);
    let Capacity { connections, flows, flows_spill, .. } = config.capacity;
    assert_eq!((connections, flows, flows_spill), (500_000, 1_000_000, 500_000));
    assert_eq!(config.capacity, Capacity { connections, flows, flows_spill, ..Capacity::for_this_machine() });
    assert_eq!(config.service_cidrs, ["10.96.0.0/16".parse().unwrap()]);
    assert_eq!(config.node_port_addresses, NodePortAddresses::Primary, "no kube-proxy configuration: our defaults (S39)");
}

#[test]
fn every_field_is_a_flag_of_the_same_name() {
    let flags = "--cgroup /c --bpffs /b --devices eth1,eth2 --xdp generic --masquerade-external needed --algorithm random \
                 --masquerade-ports 1024-2047,61000-61999 --flow-timeouts tcp-reset=5s --table-entries slots=4096 --log-format text";
    let config = own(flags, ALL).unwrap().config;
    assert_eq!((config.cgroup.as_deref(), config.bpffs.as_path()), (Some(Path::new("/c")), Path::new("/b")));
    assert_eq!((config.devices.len(), config.xdp, config.log_format), (2, XdpMode::Generic, LogFormat::Text));
    assert_eq!((config.masquerade_external, config.algorithm), (MasqueradeExternal::Needed, Algorithm::Random));
    assert_eq!((config.masquerade_ports.len(), config.flow_timeouts.reset, config.capacity.slots), (2, 5_000, 4_096));
    let command = crate::cli::Cli::command();
    let run = command.find_subcommand("run").unwrap();
    for field in ALL.lines().map(|line| line.split(':').next().unwrap()) {
        let flag: String =
            field.chars().flat_map(|c| [c.is_uppercase().then_some('-'), Some(c.to_ascii_lowercase())]).flatten().collect();
        assert!(run.get_arguments().any(|argument| argument.get_long() == Some(&flag)), "--{flag}");
    }
}

#[test]
fn documents_in_any_order_each_once() {
    let kube_proxy = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nhostnameOverride: a\n";
    let sluice = "apiVersion: sluice.dev/v1alpha1\nkind: SluiceConfiguration\nxdp: generic\n";
    for text in [format!("{kube_proxy}---\n{sluice}"), format!("# first\n---\n{sluice}---\n{kube_proxy}---\n")] {
        let config = args("").resolve(Some(&file(&text).unwrap()), "b").unwrap().config;
        assert_eq!((config.node_name.as_str(), config.xdp), ("a", XdpMode::Generic));
    }
    let twice = file(&format!("{sluice}---\n{sluice}")).unwrap_err().to_string();
    assert_eq!(twice, "config.conf:4: a second SluiceConfiguration; leave one of them in the file");
}

#[test]
fn refusals_name_the_field_or_the_flag() {
    for (flags, fields, message) in [
        ("", "xpd: off", "config.conf:3: unknown field"),
        ("", "xdp: fast", "auto"),
        ("", "masqueradeExternal: never", "needed"),
        ("", "devices: [eth0=wan]", "field devices of the SluiceConfiguration: device eth0"),
        ("", "serviceCidrs: [ten]", "field serviceCidrs of the SluiceConfiguration: \"ten\" is not valid; write a CIDR"),
        (
            "",
            "masqueradePorts: [0-1]",
            "field masqueradePorts of the SluiceConfiguration: \"0-1\" is not valid; write at most 8",
        ),
        ("--masquerade-ports 9-8", "", "--masquerade-ports: \"9-8\" is not valid; write at most 8 ranges FIRST-LAST"),
        ("--flow-timeouts tcp-established=0s", "", "--flow-timeouts: \"tcp-established=0s\" is not valid; write NAME=DURATION"),
        ("--flow-timeouts tcp=1h", "", "names are tcp-embryonic, tcp-established"),
        ("--flow-timeouts udp-answered=481h", "", "from 1s to 480h"),
        ("", "tableEntries: [flows=lots]", "\"flows=lots\" is not valid; write NAME=NUMBER from 1024 to 16777216"),
        ("--table-entries routes=4096", "", "names are services, frontends, backends"),
        ("--service-cidrs ten", "", "--service-cidrs: \"ten\" is not valid; write a CIDR"),
        ("--devices eth0=wan", "", "--devices: device eth0"),
        ("", "manifests: /does/not/exist", "field manifests of the SluiceConfiguration: /does/not/exist is not a folder"),
        ("--manifests /does/not/exist", "", "--manifests: /does/not/exist is not a folder; name an existing folder"),
    ] {
        let text = own(flags, fields).unwrap_err().to_string();
        assert!(text.contains(message), "{flags} {fields}: {text}");
    }
}

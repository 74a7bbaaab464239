//! What `sluice config check` prints at 80 columns, as goldens in `goldens/`, and what `/configz` answers. `SLUICE_BLESS=1` writes
//! the goldens anew.

use super::fixture::{HOST, args, whole};
use crate::cli::config::render;
use serde_json::{Value, json};
use std::path::Path;

const KUBEADM: &str = include_str!("../../../tests/fixtures/kubeadm-1.36-config.conf");
const EVERY_FIELD: &str = include_str!("../../../tests/fixtures/every-field-config.conf");
const GKE: &str = include_str!("../../../tests/fixtures/gke-config.yaml");

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/goldens").join(name);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{text}\n")).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(format!("{text}\n"), wanted, "{name}; SLUICE_BLESS=1 writes it anew");
}

#[test]
fn config_check() {
    for (name, text) in [("kubeadm.txt", KUBEADM), ("every-field.txt", EVERY_FIELD), ("gke.txt", GKE)] {
        let printed = render(&whole(text), Some(80));
        assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
        golden(name, &printed);
    }
}

#[test]
fn s53_configz_is_kube_proxys_with_ours_beside_it() {
    let configz: Value = serde_json::from_str(&whole(KUBEADM).effective.json()).unwrap();
    let (theirs, ours) = (&configz["kubeproxy.config.k8s.io"], &configz["sluice.dev"]);
    for (field, value) in [
        ("/apiVersion", json!("kubeproxy.config.k8s.io/v1alpha1")),
        ("/kind", json!("KubeProxyConfiguration")),
        ("/mode", json!("iptables")),
        ("/bindAddress", json!("0.0.0.0")),
        ("/healthzBindAddress", json!("0.0.0.0:10256")),
        ("/metricsBindAddress", json!("127.0.0.1:10249")),
        ("/detectLocalMode", json!("ClusterCIDR")),
        ("/clusterCIDR", json!("10.244.0.0/16,fd00:10:244::/56")),
        ("/configSyncPeriod", json!("15m0s")),
        ("/iptables/syncPeriod", json!("30s")),
        ("/iptables/minSyncPeriod", json!("1s")),
        ("/iptables/masqueradeBit", json!(14)),
        ("/iptables/localhostNodePorts", json!(true)),
        ("/conntrack/maxPerCore", json!(32768)),
        ("/conntrack/tcpEstablishedTimeout", json!("24h0m0s")),
        ("/clientConnection/qps", json!(5.0)),
        ("/oomScoreAdj", json!(-999)),
    ] {
        assert_eq!(theirs.pointer(field), Some(&value), "{field}");
    }
    assert_eq!(ours["masqueradeExternal"], json!("always"));
    assert_eq!(ours["apiVersion"], json!("sluice.dev/v1alpha1"));
}

#[test]
fn s53_configz_shows_flags() {
    let loaded = args("--cluster-cidr 10.0.0.0/8 --xdp off --nodeport-addresses 10.0.0.0/8").resolve(None, HOST).unwrap();
    let configz: Value = serde_json::from_str(&loaded.effective.json()).unwrap();
    assert_eq!(configz["kubeproxy.config.k8s.io"]["clusterCIDR"], json!("10.0.0.0/8"));
    assert_eq!(configz["kubeproxy.config.k8s.io"]["nodePortAddresses"], json!(["10.0.0.0/8"]));
    assert_eq!(configz["sluice.dev"]["xdp"], json!("off"));
}

//! kube-proxy in nftables mode on a node: what figures are compared with. It follows the API server as it does in a cluster.
//!
//! Invariant: its rules and the settings it writes are those of the node's namespace and end with it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::cluster::Host;
use crate::controlplane::ControlPlane;
use crate::controlplane::daemon::Daemon;
use crate::controlplane::programs::program;
use crate::http;
use crate::metrics::Metrics;
use crate::netns::Netns;
use crate::wait;

/// From the start of the process to the last rule, on two busy cores; it is 2 s on idle ones.
const PATIENCE: Duration = Duration::from_secs(60);
/// With 10,000 Services its first rules take a minute on busy cores.
const LONG: Duration = Duration::from_secs(600);
const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10_249);
const SYNCED: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
const TABLE: [&str; 5] = ["--numeric", "list", "table", "ip", "kube-proxy"];

/// A running kube-proxy. Dropping it ends the process; its rules stay as long as the node.
#[derive(Debug)]
pub struct KubeProxy {
    daemon: Daemon,
    netns: Netns,
}

impl KubeProxy {
    /// Starts it on a node that is registered with the API server; files go to `folder`.
    pub fn start(node: &Host, plane: &ControlPlane, folder: &Path) -> Result<Self> {
        let folder = folder.join(format!("kube-proxy-{}", node.name()));
        fs::create_dir_all(&folder)?;
        let config = folder.join("config.json");
        fs::write(&config, configuration(node, &plane.admin_kubeconfig()).to_string())?;
        let arguments = [format!("--config={}", config.display())];
        let daemon = Daemon::start(node.netns(), &folder, "kube-proxy", &program("kube-proxy")?, &arguments)?;
        Ok(Self { daemon, netns: node.netns().clone() })
    }

    /// Waits until all that it has listed is in its rules, IPv4, for the first time.
    pub fn wait_synced(&mut self) -> Result<()> {
        wait::until(LONG, "kube-proxy to write its first rules", || {
            if let Err(error) = self.daemon.check() {
                return Some(Err(error));
            }
            let page = http::get(&self.netns, METRICS, "/metrics").ok()?;
            (Metrics::parse(&page.body).sum(SYNCED, &["ip_family=\"IPv4\""]) > 0.0).then_some(Ok(()))
        })?
    }

    /// Waits until the rules lead a NodePort, IPv4, to this endpoint. A SYN sent before that leaves a conntrack entry that
    /// spoils later connections from its port for two minutes: dial only afterwards.
    pub fn wait_for(&mut self, node_port: u16, endpoint: SocketAddr) -> Result<()> {
        let port = format!(". {node_port} : goto external-");
        let target = format!(": {} . {} ", endpoint.ip(), endpoint.port());
        wait::until(PATIENCE, &format!("kube-proxy to program {node_port} to {endpoint}"), || {
            if let Err(error) = self.daemon.check() {
                return Some(Err(error));
            }
            // The table appears with the first synchronisation.
            let rules = self.netns.run("nft", &TABLE).ok()?;
            (rules.contains(&port) && rules.contains(&target)).then_some(Ok(()))
        })?
    }
}

/// As kubeadm writes it, but for what would reach beyond the namespace: the sizes of the machine's conntrack table.
fn configuration(node: &Host, kubeconfig: &Path) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node.name(),
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": crate::cluster::POD_CIDR_V4,
        "conntrack": {"maxPerCore": 0, "min": 0},
        // 0s would mean the default, a second.
        "nftables": {"minSyncPeriod": "1ms"},
    })
}

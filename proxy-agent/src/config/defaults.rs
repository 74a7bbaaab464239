//! What kube-proxy 1.36 puts where a field is unset. Ours alone: without a kube-proxy configuration NodePorts are served at the
//! primary addresses (S39).

use super::address::with_port;
use super::file;
use super::kube_proxy::KubeProxyConfiguration;
use super::overrule::Fields;
use super::quantity::{GoDuration, TimeOrDuration};
use super::sluice;

/// Port of /healthz.
pub const HEALTHZ_PORT: u16 = 10256;
/// Port of /metrics.
pub const METRICS_PORT: u16 = 10249;

const SYNC_PERIOD: GoDuration = GoDuration::from_secs(30);
const MASQUERADE_BIT: i32 = 14;

/// Fills what is unset.
pub fn fill(fields: &mut Fields) {
    addresses(fields);
    let file = &mut fields.kube_proxy;
    or(&mut file.api_version, file::API_VERSION);
    or(&mut file.kind, file::KIND);
    or(&mut fields.sluice.api_version, sluice::API_VERSION);
    or(&mut fields.sluice.kind, sluice::KIND);
    or(&mut file.detect_local_mode, "ClusterCIDR");
    or(&mut file.client_connection.content_type, "application/vnd.kubernetes.protobuf");
    if file.client_connection.qps == 0.0 {
        file.client_connection.qps = 5.0;
    }
    if file.client_connection.burst == 0 {
        file.client_connection.burst = 10;
    }
    file.oom_score_adj.get_or_insert(-999);
    duration(&mut file.config_sync_period, GoDuration::from_secs(15 * 60));
    or(&mut file.logging.format, "text");
    if file.logging.flush_frequency == TimeOrDuration::default() {
        file.logging.flush_frequency = TimeOrDuration(GoDuration::from_secs(5));
    }
    or(&mut file.mode, "iptables");
    if file.node_port_addresses.is_empty() && (!fields.has_kube_proxy || file.mode == "nftables") {
        file.node_port_addresses.push("primary".into());
    }
    tuning(file);
}

/// An empty address that a flag gave stays empty: that server is not wanted.
fn addresses(fields: &mut Fields) {
    let empty = |field: &str, fields: &Fields, text: &str| text.is_empty() && !fields.by_flag(field);
    or(&mut fields.kube_proxy.bind_address, "0.0.0.0");
    let v6 = crate::state::parse_ip(&fields.kube_proxy.bind_address).is_some_and(|ip| ip.is_ipv6());
    if empty("healthzBindAddress", fields, &fields.kube_proxy.healthz_bind_address) {
        fields.kube_proxy.healthz_bind_address = if v6 { "::" } else { "0.0.0.0" }.into();
    }
    if empty("metricsBindAddress", fields, &fields.kube_proxy.metrics_bind_address) {
        fields.kube_proxy.metrics_bind_address = if v6 { "::1" } else { "127.0.0.1" }.into();
    }
    let file = &mut fields.kube_proxy;
    file.healthz_bind_address = with_port(&file.healthz_bind_address, HEALTHZ_PORT);
    file.metrics_bind_address = with_port(&file.metrics_bind_address, METRICS_PORT);
}

fn tuning(file: &mut KubeProxyConfiguration) {
    file.iptables.masquerade_bit.get_or_insert(MASQUERADE_BIT);
    file.iptables.localhost_node_ports.get_or_insert(true);
    file.nftables.masquerade_bit.get_or_insert(MASQUERADE_BIT);
    duration(&mut file.iptables.sync_period, SYNC_PERIOD);
    duration(&mut file.iptables.min_sync_period, GoDuration::from_secs(1));
    duration(&mut file.ipvs.sync_period, SYNC_PERIOD);
    duration(&mut file.nftables.sync_period, SYNC_PERIOD);
    duration(&mut file.nftables.min_sync_period, GoDuration::from_secs(1));
    file.conntrack.max_per_core.get_or_insert(32 * 1024);
    file.conntrack.min.get_or_insert(128 * 1024);
    file.conntrack.tcp_established_timeout.get_or_insert(GoDuration::from_secs(24 * 3600));
    file.conntrack.tcp_close_wait_timeout.get_or_insert(GoDuration::from_secs(3600));
}

fn or(text: &mut String, default: &str) {
    if text.is_empty() {
        default.clone_into(text);
    }
}

fn duration(place: &mut GoDuration, default: GoDuration) {
    if *place == GoDuration::ZERO {
        *place = default;
    }
}

//! The metrics of kube-proxy 1.36 that apply here: same names, types, labels and buckets.

use super::family_label;
use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};
use prometheus::{exponential_buckets, linear_buckets};
use proxy_common::abi::Family;

/// Handles of the metrics named `kubeproxy_…`.
pub(super) struct KubeProxy {
    pub sync_duration: HistogramVec,
    pub network_programming: HistogramVec,
    pub last_applied: GaugeVec,
    pub last_queued: GaugeVec,
    pub endpoint_changes: IntCounter,
    pub endpoint_changes_pending: Gauge,
    pub service_changes: IntCounter,
    pub service_changes_pending: Gauge,
    pub no_local_endpoints: GaugeVec,
    pub healthz: IntCounterVec,
    pub livez: IntCounterVec,
}

impl KubeProxy {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let this = Self::new()?;
        registry.register(Box::new(this.sync_duration.clone()))?;
        registry.register(Box::new(this.network_programming.clone()))?;
        registry.register(Box::new(this.last_applied.clone()))?;
        registry.register(Box::new(this.last_queued.clone()))?;
        registry.register(Box::new(this.endpoint_changes.clone()))?;
        registry.register(Box::new(this.endpoint_changes_pending.clone()))?;
        registry.register(Box::new(this.service_changes.clone()))?;
        registry.register(Box::new(this.service_changes_pending.clone()))?;
        registry.register(Box::new(this.no_local_endpoints.clone()))?;
        registry.register(Box::new(this.healthz.clone()))?;
        registry.register(Box::new(this.livez.clone()))?;
        this.show_zeros();
        Ok(this)
    }

    fn new() -> prometheus::Result<Self> {
        const FAMILY: &[&str] = &["ip_family"];
        Ok(Self {
            sync_duration: HistogramVec::new(
                HistogramOpts::new("kubeproxy_sync_proxy_rules_duration_seconds", "Time to write changes to the tables")
                    .buckets(exponential_buckets(0.001, 2.0, 15)?),
                FAMILY,
            )?,
            network_programming: HistogramVec::new(
                HistogramOpts::new(
                    "kubeproxy_network_programming_duration_seconds",
                    "Time from the change of a Service or pod, as its EndpointSlice tells it, to the tables",
                )
                .buckets(programming_buckets()?),
                FAMILY,
            )?,
            last_applied: GaugeVec::new(
                Opts::new("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "When the tables last took a change"),
                FAMILY,
            )?,
            last_queued: GaugeVec::new(
                Opts::new("kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", "When a change last arrived"),
                FAMILY,
            )?,
            endpoint_changes: IntCounter::new(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Changes of EndpointSlices that arrived",
            )?,
            endpoint_changes_pending: Gauge::new(
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "Changes of EndpointSlices that are not yet in the tables",
            )?,
            service_changes: IntCounter::new(
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Changes of Services that arrived",
            )?,
            service_changes_pending: Gauge::new(
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Changes of Services that are not yet in the tables",
            )?,
            no_local_endpoints: GaugeVec::new(
                Opts::new(
                    "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                    "Service ports with a Local traffic policy and endpoints on other nodes alone",
                ),
                &["ip_family", "traffic_policy"],
            )?,
            healthz: IntCounterVec::new(Opts::new("kubeproxy_proxy_healthz_total", "Answers of /healthz"), &["code"])?,
            livez: IntCounterVec::new(Opts::new("kubeproxy_proxy_livez_total", "Answers of /livez"), &["code"])?,
        })
    }

    fn show_zeros(&self) {
        for code in ["200", "503"] {
            self.healthz.with_label_values(&[code]);
            self.livez.with_label_values(&[code]);
        }
        for family in [Family::V4, Family::V6].map(family_label) {
            self.sync_duration.with_label_values(&[family]);
            self.network_programming.with_label_values(&[family]);
            self.last_applied.with_label_values(&[family]);
            self.last_queued.with_label_values(&[family]);
            for policy in ["internal", "external"] {
                self.no_local_endpoints.with_label_values(&[family, policy]);
            }
        }
    }
}

/// 0.25 s, 0.5 s, each second up to 59 s, each five up to 115 s, each thirty up to 300 s.
fn programming_buckets() -> prometheus::Result<Vec<f64>> {
    let parts = [(0.25, 0.25, 2), (1.0, 1.0, 59), (60.0, 5.0, 12), (120.0, 30.0, 7)];
    let buckets: Result<Vec<_>, _> =
        parts.into_iter().map(|(start, width, count)| linear_buckets(start, width, count)).collect();
    Ok(buckets?.concat())
}

#[cfg(test)]
mod tests {
    use super::KubeProxy;
    use prometheus::Registry;

    /// The bounds of a histogram, as a scrape has them.
    fn bounds(registry: &Registry, name: &str) -> Vec<f64> {
        let families = registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect(name);
        family.get_metric()[0].get_histogram().get_bucket().iter().map(prometheus::proto::Bucket::upper_bound).collect()
    }

    #[test]
    fn buckets_are_kube_proxys() {
        let registry = Registry::new();
        KubeProxy::register(&registry).unwrap();
        let milliseconds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384].map(f64::from);
        assert_eq!(bounds(&registry, "kubeproxy_sync_proxy_rules_duration_seconds"), milliseconds.map(|ms| ms / 1000.0));
        let mut seconds = vec![0.25, 0.5];
        seconds.extend((1..60).map(f64::from));
        seconds.extend((60..120).step_by(5).map(f64::from));
        seconds.extend((120..=300).step_by(30).map(f64::from));
        assert_eq!(bounds(&registry, "kubeproxy_network_programming_duration_seconds"), seconds);
    }
}

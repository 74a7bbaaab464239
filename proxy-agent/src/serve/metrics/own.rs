//! The metrics named `sluice_…` that the agent observes.

use super::family_label;
use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};
use prometheus::{IntCounterVec, exponential_buckets};
use proxy_common::abi::{ABI_VERSION, Family};

/// Handles of the metrics named `sluice_…` that are not read out of maps.
pub(super) struct Own {
    pub programming: HistogramVec,
    pub flips: IntCounter,
    pub flows_expired: IntCounterVec,
    pub services: IntGauge,
    pub rejected: IntGaugeVec,
    pub degraded: IntGaugeVec,
    pub synced: IntGauge,
    pub api_connected: IntGauge,
    pub last_event: Gauge,
    pub lag: Gauge,
    build: GaugeVec,
}

impl Own {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let this = Self::new()?;
        registry.register(Box::new(this.programming.clone()))?;
        registry.register(Box::new(this.flips.clone()))?;
        registry.register(Box::new(this.flows_expired.clone()))?;
        registry.register(Box::new(this.services.clone()))?;
        registry.register(Box::new(this.rejected.clone()))?;
        registry.register(Box::new(this.degraded.clone()))?;
        registry.register(Box::new(this.synced.clone()))?;
        registry.register(Box::new(this.api_connected.clone()))?;
        registry.register(Box::new(this.last_event.clone()))?;
        registry.register(Box::new(this.lag.clone()))?;
        registry.register(Box::new(this.build.clone()))?;
        this.show_zeros();
        Ok(this)
    }

    fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, label: &str| IntGaugeVec::new(Opts::new(name, help), &[label]);
        Ok(Self {
            programming: HistogramVec::new(
                HistogramOpts::new(
                    "sluice_programming_duration_seconds",
                    "Time from the arrival of a change to the flip that puts it in force",
                )
                .buckets(exponential_buckets(0.000_05, 2.0, 18)?),
                &["ip_family"],
            )?,
            flips: IntCounter::new("sluice_flips_total", "Service ports put in force with one store each")?,
            flows_expired: IntCounterVec::new(
                Opts::new("sluice_flows_expired_total", "Entries of flows that the agent expired"),
                &["map"],
            )?,
            services: IntGauge::new("sluice_service_ports", "Service ports in force, counted per family")?,
            rejected: gauge("sluice_rejected_objects", "Objects, or parts of them, that were left out", "reason")?,
            degraded: gauge("sluice_degraded", "1 while the condition holds that `sluice status` warns of", "condition")?,
            synced: IntGauge::new("sluice_synced", "1 once Services and EndpointSlices were listed in full (S11)")?,
            api_connected: IntGauge::new("sluice_api_connected", "1 while all watches of the source of objects run")?,
            last_event: Gauge::new("sluice_last_event_timestamp_seconds", "When an object last arrived")?,
            lag: Gauge::new("sluice_lag_seconds", "How long the oldest change has waited that is not in the tables")?,
            build: GaugeVec::new(Opts::new("sluice_build_info", "1, with what was built"), &["version", "abi"])?,
        })
    }

    fn show_zeros(&self) {
        for family in [Family::V4, Family::V6].map(family_label) {
            self.programming.with_label_values(&[family]);
        }
        self.build.with_label_values(&[env!("CARGO_PKG_VERSION"), &ABI_VERSION.to_string()]).set(1.0);
    }
}

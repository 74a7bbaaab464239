//! The registry and what the agent's loop observes into it. Time is an argument.

use super::family_label;
use super::kubeproxy::KubeProxy;
use super::maps::{MapCollector, ReadMaps};
use super::own::Own;
use crate::state::WithoutLocal;
use jiff::Timestamp;
use prometheus::{IntGaugeVec, Registry, TextEncoder};
use proxy_common::abi::Family;
use std::sync::Arc;
use std::time::Duration;

/// All metrics of one agent.
pub struct Metrics {
    registry: Registry,
    kube_proxy: KubeProxy,
    own: Own,
}

/// Changes of one family that were written to the tables together.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied<'a> {
    /// The family.
    pub family: Family,
    /// Time that writing took.
    pub duration: Duration,
    /// Number of service ports put in force.
    pub flips: u64,
    /// For each batch of events among the changes: time from its arrival to the flip.
    pub since_arrival: &'a [Duration],
    /// For each slice that tells when its cause happened (after our start): time from then to the flip.
    pub since_trigger: &'a [Duration],
}

impl Metrics {
    /// A registry with every metric, at zero. What stands in the maps is read from `maps` at each scrape.
    pub fn new(maps: Arc<dyn ReadMaps>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let (kube_proxy, own) = (KubeProxy::register(&registry)?, Own::register(&registry)?);
        registry.register(Box::new(MapCollector::new(maps)?))?;
        Ok(Self { registry, kube_proxy, own })
    }

    /// The text that a scrape gets.
    pub fn encode(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Changes of objects arrived and wait.
    pub fn observe_queued(&self, services: u64, endpoints: u64, now: Timestamp) {
        self.kube_proxy.service_changes.inc_by(services);
        self.kube_proxy.service_changes_pending.add(services as f64);
        self.kube_proxy.endpoint_changes.inc_by(endpoints);
        self.kube_proxy.endpoint_changes_pending.add(endpoints as f64);
        for family in [Family::V4, Family::V6].map(family_label) {
            self.kube_proxy.last_queued.with_label_values(&[family]).set(seconds(now));
        }
        self.own.last_event.set(seconds(now));
    }

    /// Everything that waited is in the tables; `applied` has an entry for each family that changed.
    pub fn observe_applied(&self, applied: &[Applied<'_>], now: Timestamp) {
        self.kube_proxy.service_changes_pending.set(0.0);
        self.kube_proxy.endpoint_changes_pending.set(0.0);
        for family in applied {
            let label = &[family_label(family.family)];
            self.kube_proxy.sync_duration.with_label_values(label).observe(family.duration.as_secs_f64());
            self.kube_proxy.last_applied.with_label_values(label).set(seconds(now));
            self.own.flips.inc_by(family.flips);
            let programming = self.own.programming.with_label_values(label);
            family.since_arrival.iter().for_each(|d| programming.observe(d.as_secs_f64()));
            let network = self.kube_proxy.network_programming.with_label_values(label);
            family.since_trigger.iter().for_each(|d| network.observe(d.as_secs_f64()));
        }
    }

    /// Service ports of a family whose policy keeps traffic on a node that has no endpoint of theirs.
    pub fn observe_without_local(&self, family: Family, without: WithoutLocal) {
        for (policy, count) in [("internal", without.internal), ("external", without.external)] {
            self.kube_proxy.no_local_endpoints.with_label_values(&[family_label(family), policy]).set(count as f64);
        }
    }

    /// How long the oldest change has waited.
    pub fn observe_lag(&self, lag: Duration) {
        self.own.lag.set(lag.as_secs_f64());
    }

    /// What is in force and what was left out: counts by reason replace those before.
    pub fn observe_services(&self, service_ports: u64, rejected: &[(&str, u64)]) {
        self.own.services.set(i64::try_from(service_ports).unwrap_or(i64::MAX));
        replace(&self.own.rejected, rejected);
    }

    /// The agent has ended so many connections, or entries of a flow table.
    pub fn observe_expired(&self, map: &str, expired: u64) {
        self.own.flows_expired.with_label_values(&[map]).inc_by(expired);
    }

    /// Whether all lists are in, and whether all watches run.
    pub fn observe_source(&self, synced: bool, connected: bool) {
        self.own.synced.set(i64::from(synced));
        self.own.api_connected.set(i64::from(connected));
    }

    /// The conditions of which `sluice status` warns; one that is not named is over.
    pub fn observe_degraded(&self, conditions: &[&str]) {
        let ones: Vec<_> = conditions.iter().map(|condition| (*condition, 1)).collect();
        replace(&self.own.degraded, &ones);
    }

    /// An answer of `/healthz`.
    pub fn observe_healthz(&self, code: u16) {
        self.kube_proxy.healthz.with_label_values(&[&code.to_string()]).inc();
    }

    /// An answer of `/livez`.
    pub fn observe_livez(&self, code: u16) {
        self.kube_proxy.livez.with_label_values(&[&code.to_string()]).inc();
    }
}

fn replace(gauges: &IntGaugeVec, values: &[(&str, u64)]) {
    gauges.reset();
    for (label, value) in values {
        gauges.with_label_values(&[label]).set(i64::try_from(*value).unwrap_or(i64::MAX));
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_duration().as_secs_f64()
}

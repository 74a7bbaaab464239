//! What the command line and metrics are told: facts that stand in no map, gathered when something changed.

use super::run::Inputs;
use crate::attach::attachments::DeviceState;
use crate::attach::edges::Edge;
use crate::control::Control;
use crate::maps::Maps;
use crate::serve::conditions::{self, PROC_NET};
use crate::serve::report::{Device, Publisher, Rejection, Report, ServiceCidrs, Source, Warning};
use crate::state;
use crate::sync::Sync;
use jiff::Timestamp;
use proxy_common::abi::SERVICE_CIDRS;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Where reports go.
pub struct Reports {
    publisher: Arc<Publisher>,
    /// The one that is being written.
    writing: Option<JoinHandle<()>>,
}

impl Reports {
    /// None was written yet.
    pub fn new(publisher: Publisher) -> Self {
        Self { publisher: Arc::new(publisher), writing: None }
    }

    /// Whether none is being written.
    pub fn is_free(&self) -> bool {
        self.writing.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the one that is being written.
    pub async fn finish(&mut self) {
        if let Some(writing) = self.writing.take() {
            // It only fails if the task panicked, and the agent ends.
            let _ = writing.await;
        }
    }

    /// Writes a report, beside the loop: it has a line for whatever was left out, and no event waits for what is only told. The one before is
    /// written: [`Self::is_free`].
    pub fn publish(&mut self, report: Report) {
        let publisher = self.publisher.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = publisher.publish(&report) {
                tracing::warn!("{error}");
            }
        }));
    }
}

/// The report as of `now`.
pub fn report<M: Maps>(
    control: &Control,
    rejected: Vec<state::Rejection>,
    sync: &Sync<M>,
    devices: &[DeviceState],
    inputs: &Inputs,
    now: Timestamp,
) -> Report {
    let (troubles, bound) = (control.troubles(), inputs.listening.addresses());
    Report {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        started: inputs.started,
        written: now,
        node: inputs.node.clone(),
        cgroup: inputs.cgroup.clone(),
        source: Source {
            origin: inputs.origin.clone(),
            connected: inputs.connected,
            since: inputs.connected_since,
            synced: inputs.synced,
            last_event: inputs.last_event,
            lists: control.listings().iter().map(|(kind, listing)| (kind.to_string(), listing.to_string())).collect(),
            troubles: troubles.iter().map(|(subject, troubled)| format!("{subject}: {}", troubled.trouble)).collect(),
        },
        service_cidrs: service_cidrs(inputs),
        lag_ms: inputs.lag.as_millis() as u64,
        healthz: bound.healthz.map(|addr| addr.to_string()),
        metrics: bound.metrics.map(|addr| addr.to_string()),
        rejections: rejections(rejected, sync),
        devices: devices.iter().map(device).collect(),
        warnings: warnings(devices, sync, inputs),
    }
}

/// Counts by label.
pub fn counts<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<(&'a str, u64)> {
    let mut counts = BTreeMap::new();
    labels.for_each(|label| *counts.entry(label).or_default() += 1);
    counts.into_iter().collect()
}

/// How much was left out, by the label of the reason.
pub fn rejected<M: Maps>(rejections: &[state::Rejection], sync: &Sync<M>) -> Vec<(&'static str, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for rejection in rejections {
        *counts.entry(rejection.reason.label()).or_default() += 1 + rejection.more as u64;
    }
    counts.extend(Some(("table", sync.rejected().count() as u64)).filter(|(_, count)| *count > 0));
    counts.into_iter().collect()
}

/// A health check port that can't be listened on (S50).
pub fn health_check_failed(message: String) -> Warning {
    Warning { condition: "health_check_port".into(), message }
}

/// More prefixes than programs hold (S26).
pub fn too_many_cidrs(number: usize) -> String {
    format!(
        "ServiceCIDRs have {number} prefixes, of which the first {SERVICE_CIDRS} by age of their objects count: an unallocated \
         address of the others is not dropped; merge prefixes"
    )
}

fn service_cidrs(inputs: &Inputs) -> ServiceCidrs {
    let from_objects = !inputs.service_cidrs.is_empty();
    let prefixes = if from_objects { &inputs.service_cidrs } else { &inputs.configured_cidrs };
    let prefixes = prefixes.iter().take(SERVICE_CIDRS).map(ToString::to_string).collect();
    ServiceCidrs { from_objects, prefixes }
}

fn rejections<M: Maps>(rejected: Vec<state::Rejection>, sync: &Sync<M>) -> Vec<Rejection> {
    let objects = rejected.into_iter().map(|rejection| Rejection {
        kind: rejection.kind.to_string(),
        namespace: rejection.object.namespace.to_string(),
        name: rejection.object.name.to_string(),
        service: rejection.service.as_ref().map(ToString::to_string),
        reason: rejection.reason.label().into(),
        message: match rejection.more {
            0 => rejection.reason.to_string(),
            more => format!("{} (and {more} more)", rejection.reason),
        },
    });
    let tables = sync.rejected().map(|rejection| Rejection {
        kind: "Service".into(),
        namespace: rejection.name.namespace().into(),
        name: rejection.name.name().into(),
        service: Some(rejection.name.name().into()),
        reason: "table".into(),
        message: rejection.error.to_string(),
    });
    objects.chain(tables).collect()
}

fn device(state: &DeviceState) -> Device {
    Device {
        name: state.device.name.clone(),
        index: state.device.index,
        edge: state.device.edge.to_string(),
        reason: state.device.why.to_string(),
        failures: state.failures.clone(),
        notes: state.notes.clone(),
    }
}

fn warnings<M: Maps>(devices: &[DeviceState], sync: &Sync<M>, inputs: &Inputs) -> Vec<Warning> {
    let uplinks: Vec<&str> =
        devices.iter().filter(|state| state.device.edge == Edge::Uplink).map(|state| state.device.name.as_str()).collect();
    let mut warnings = conditions::of_host(Path::new(PROC_NET), &uplinks);
    let failures = devices.iter().flat_map(|state| &state.failures);
    warnings.extend(failures.map(|message| Warning { condition: "attach_failed".into(), message: message.clone() }));
    let node = inputs.node_error.iter();
    warnings.extend(node.map(|message| Warning { condition: "node_not_followed".into(), message: message.clone() }));
    let bound = inputs.listening.addresses();
    let (wanted, missing) = (inputs.wanted, |wanted: Option<_>, bound: Option<_>| wanted.is_some() && bound.is_none());
    if missing(wanted.healthz, bound.healthz) || missing(wanted.metrics, bound.metrics) {
        warnings.push(Warning {
            condition: "port_taken".into(),
            message: "another process has the port of health or metrics; both are served once it is free, see the log".into(),
        });
    }
    if inputs.service_cidrs.len() > SERVICE_CIDRS {
        let message = too_many_cidrs(inputs.service_cidrs.len());
        warnings.push(Warning { condition: "service_cidrs".into(), message });
    }
    let full = counts(sync.rejected().map(|rejection| rejection.error.map().as_str()));
    warnings.extend(full.into_iter().map(|(map, services)| Warning {
        condition: "table_rejects".into(),
        message: format!("{services} service ports are not served as wanted, because table {map} refused them"),
    }));
    let spilled =
        [("TCP", "flows"), ("UDP", "udp-flows")].into_iter().zip(*inputs.spilled.borrow()).filter(|(_, spilled)| *spilled);
    warnings.extend(spilled.map(|((name, option), _)| Warning {
        condition: "flows_spill".into(),
        message: format!(
            "{name} flows find no room in their table, and stand where new ones take the place of the oldest: too many live flows, \
             or a flood of first packets; see `sluice flows`, and give the table more room with --table-entries {option}=…"
        ),
    }));
    warnings
}

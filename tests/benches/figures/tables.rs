//! Tables: how long 10,000 Services take from a compiled table into the kernel, and one that changes among them.

use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use proxy_agent::control::Control;
use proxy_agent::maps::KernelMaps;
use proxy_agent::sync::Sync;
use proxy_agent::table::Change;
use proxy_agent::watch::Event;
use proxy_agent::watch::files::parse;
use proxy_agent::watch::objects::{Kind, Object};
use serde_json::{Value, json};
use sluice_tests::Rig;
use sluice_tests::bench::{Figure, Target, percentile};

use super::clock::cpu_nanos;
use super::node;

const SERVICES: usize = 10_000;
const ENDPOINTS: usize = 10;
/// Changes of one Service in a round.
const CHANGES: usize = 500;
const MILLI: f64 = 1e6;

/// Writes the whole table and then changes one Service after the other, in each of `rounds` rounds.
pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let rig = Rig::new("bench-tables")?;
    let (mut writes, mut all_changes, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let pins = rig.pins(&round.to_string());
        let mut control = listed()?;
        let (maps, _object) = node::bring_in(&node::object("sluice.o"), &pins)?;
        let (mut tables, _) = Sync::adopt(maps)?;
        let changes = control.take_changes();
        writes.push(write(&mut tables, changes)?);
        let spent = change_some(&mut control, &mut tables)?;
        tails.push(percentile(&spent, 99.0));
        all_changes.extend(spent);
        std::fs::remove_dir_all(&pins)?;
    }
    Ok(vec![
        Figure::new("tables: 10,000 Services × 10 endpoints written", "ms", &writes).target(Target::AtMost(30.0)),
        Figure::new("tables: one Service changed, event to flip, p99", "ms", &tails).target(Target::AtMost(1.0)),
        Figure::new("tables: one Service changed, event to flip", "ms", &all_changes),
    ])
}

/// A control plane that has listed everything.
fn listed() -> Result<Control> {
    let mut control = Control::new("node1");
    let now = Instant::now();
    for number in 0..SERVICES {
        control.on_event(Event::Apply(Box::new(service(number)?)), now);
        control.on_event(Event::Apply(Box::new(slice(number, 0)?)), now);
    }
    for kind in [Kind::Service, Kind::EndpointSlice] {
        control.on_event(Event::Synced(kind), now);
    }
    Ok(control)
}

fn write(tables: &mut Sync<KernelMaps>, changes: Vec<Change>) -> Result<f64> {
    let (nanos, applied) = cpu_nanos(|| tables.apply(changes))?;
    ensure!(applied.rejected.is_empty() && applied.flips == SERVICES, "not all Services were written");
    Ok(nanos / MILLI)
}

/// Milliseconds from an event that replaces one endpoint of a Service to the flip.
fn change_some(control: &mut Control, tables: &mut Sync<KernelMaps>) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for turn in 0..CHANGES {
        let event = Event::Apply(Box::new(slice(turn * (SERVICES / CHANGES), 1)?));
        let now = Instant::now();
        let (nanos, applied) = cpu_nanos(|| {
            control.on_event(event, now);
            tables.apply(control.take_changes())
        })?;
        all.push(nanos / MILLI);
        ensure!(applied.flips == 1, "the change of one Service made {} flips", applied.flips);
        // No program runs on these tables, so that every grace period has ended.
        if let Some(token) = tables.retired_pending() {
            tables.grace_ended(token);
        }
    }
    Ok(all)
}

fn service(number: usize) -> Result<Object> {
    object(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": format!("service-{number}"), "namespace": "default" },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": cluster_ip(number),
            "clusterIPs": [cluster_ip(number)],
            "ipFamilies": ["IPv4"],
            "ports": [{ "name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080 }]
        }
    }))
}

/// The slice of a Service; `replaced` of its endpoints have another address than in the list.
fn slice(number: usize, replaced: usize) -> Result<Object> {
    let endpoint = |place: usize| {
        let host = if place < replaced { 200 + place } else { place };
        json!({
            "addresses": [format!("10.{}.{}.{host}", 128 + number / 256, number % 256)],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "nodeName": "node2"
        })
    };
    object(json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("service-{number}-x"),
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": format!("service-{number}") }
        },
        "addressType": "IPv4",
        "ports": [{ "name": "http", "protocol": "TCP", "port": 8080 }],
        "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<Value>>()
    }))
}

fn cluster_ip(number: usize) -> String {
    format!("10.96.{}.{}", number / 256, number % 256)
}

fn object(value: Value) -> Result<Object> {
    let defined = parse::json(&value.to_string()).map_err(|error| anyhow!("{}", error.error))?;
    defined.into_iter().next().map(|defined| defined.object).ok_or_else(|| anyhow!("no object"))
}

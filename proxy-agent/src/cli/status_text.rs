//! `sluice status` as text. Pure; the clock is an argument.

use super::output::{Format, Value, columns, duration, lines};
use super::status::{PinnedLink, Status, Table};
use crate::attach::cgroup;
use crate::serve::report::{Device, Report, ServiceCidrs};
use crate::watch::Listing;
use jiff::Timestamp;
use std::collections::BTreeMap;

const SOCKET_HOOKS: usize = 8;

impl Status {
    /// As text; `width` is the terminal's.
    pub fn render(&self, format: Format, width: Option<u16>, now: Timestamp) -> String {
        let wide = format == Format::Wide;
        let width = width.filter(|_| !wide);
        let mut parts = vec![columns(&[], self.facts(now), width)];
        parts.push(columns(&["DEVICE", "EDGE", "HOOKS", "WHY"], self.devices(), width));
        if wide {
            parts.push(columns(&["LINK", "DEVICE", "PROGRAM", "STATE"], self.links.iter().map(link_row).collect(), None));
        }
        parts.push(columns(&["TABLE", "USED", "OF", ""], self.tables.iter().map(table_row).collect(), width));
        parts.extend(self.report.as_ref().map(|report| warnings(report, width)));
        parts.join("\n\n")
    }

    fn facts(&self, now: Timestamp) -> Vec<Vec<Value>> {
        let mut facts = vec![fact("Agent", self.agent(now))];
        if let Some(report) = &self.report {
            facts.push(fact("Node", report.node.clone()));
            facts.push(fact("Objects", self.source(report, now)));
            if self.running {
                facts.extend(progress(report, now));
                facts.push(fact("Health", address(report.healthz.as_deref(), "healthz")));
                facts.push(fact("Metrics", address(report.metrics.as_deref(), "metrics")));
            }
        }
        let sockets = self.links.iter().filter(|link| link.alive && cgroup::is_pin(&link.hook)).count();
        let folder = self.report.as_ref().map_or(String::new(), |report| format!(" on {}", report.cgroup));
        facts.push(fact("Sockets", format!("{sockets} of {SOCKET_HOOKS} hooks{folder}")));
        facts
    }

    fn agent(&self, now: Timestamp) -> String {
        match (&self.report, self.running) {
            (Some(r), true) => format!("running for {}, version {}, pid {}", since(r.started, now), r.version, r.pid),
            (Some(r), false) => format!(
                "NOT RUNNING; it last reported {} ago. The tables and hooks below keep working, nothing updates them",
                since(r.written, now)
            ),
            (None, true) => "running, without a report yet".to_owned(),
            (None, false) => "NOT RUNNING, and it left no report. The tables and hooks below keep working".to_owned(),
        }
    }

    fn source(&self, report: &Report, now: Timestamp) -> String {
        let source = &report.source;
        let connection = if source.connected { "connected" } else { "NOT connected" };
        match self.running {
            true => format!("from {}, {connection} for {}", source.origin, since(source.since, now)),
            false => format!("from {}", source.origin),
        }
    }

    fn devices(&self) -> Vec<Vec<Value>> {
        let reported = self.report.as_ref().map_or(&[][..], |report| &report.devices);
        let known = |name: &str| reported.iter().any(|device| device.name == name);
        let mut others: Vec<_> =
            self.links.iter().filter_map(|link| link.device.as_deref()).filter(|name| !known(name)).collect();
        others.sort_unstable();
        others.dedup();
        let reported = reported.iter().map(|device| self.device_row(device));
        let unknown = |name| vec![Value::from(name), "?".into(), self.hooks(name).into(), "not in the agent's report".into()];
        reported.chain(others.into_iter().map(unknown)).collect()
    }

    fn device_row(&self, device: &Device) -> Vec<Value> {
        let name = device.name.as_str();
        let why = lines(std::iter::once(&device.reason).chain(&device.failures).chain(&device.notes));
        vec![name.into(), device.edge.as_str().into(), self.hooks(name).into(), why.into()]
    }

    fn hooks(&self, device: &str) -> String {
        let mut on_device: Vec<_> = self.links.iter().filter(|link| link.device.as_deref() == Some(device)).collect();
        on_device.sort_by_key(|link| place(&link.hook));
        lines(on_device.into_iter().map(|link| format!("{}{}", place(&link.hook).1, if link.alive { "" } else { " (gone)" })))
    }
}

fn progress(report: &Report, now: Timestamp) -> Vec<Vec<Value>> {
    let source = &report.source;
    let ago = |time: Timestamp| format!("{} ago", since(time, now));
    let lag = match report.lag_ms {
        0 => "none waits".to_owned(),
        lag => format!("one has waited for {}", duration(lag)),
    };
    let synced = source.synced.map_or("not yet: waiting for Services and EndpointSlices".to_owned(), ago);
    let mut facts = vec![
        fact("Synced", synced + &lists(&source.lists)),
        fact("Changes", format!("last {}, {lag}", source.last_event.map_or("never".to_owned(), ago))),
    ];
    let ServiceCidrs { from_objects, prefixes } = &report.service_cidrs;
    if !prefixes.is_empty() {
        let origin = if *from_objects { "ServiceCIDR objects" } else { "the configuration" };
        facts.push(fact("CIDRs", format!("of Services: {}, from {origin}", prefixes.join(", "))));
    }
    facts
}

/// How the API lists: in one word if all kinds are alike.
fn lists(lists: &BTreeMap<String, String>) -> String {
    let mut ways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    lists
        .iter()
        .filter(|(_, way)| **way != Listing::Absent.to_string())
        .for_each(|(kind, way)| ways.entry(way).or_default().push(kind));
    match ways.len() {
        0 => String::new(),
        1 => ways.keys().map(|way| format!(", lists are {way}")).collect(),
        _ => ways.iter().map(|(way, kinds)| format!(", {way}: {}", kinds.join(" "))).collect(),
    }
}

fn warnings(report: &Report, width: Option<u16>) -> String {
    let troubles = report.source.troubles.iter().cloned();
    let warnings = report.warnings.iter().map(|warning| format!("{}: {}", warning.condition, warning.message));
    let left_out = report.rejections.len();
    let hint =
        (left_out > 0).then(|| format!("left out, in whole or in part: {left_out}; `sluice services` says what and why"));
    let all: Vec<_> = troubles.chain(warnings).chain(hint).map(|text| vec![text.into()]).collect();
    if all.is_empty() { "No warnings.".to_owned() } else { columns(&["WARNINGS"], all, width) }
}

fn fact(name: &str, text: String) -> Vec<Value> {
    vec![name.into(), text.into()]
}

fn address(listener: Option<&str>, path: &str) -> String {
    listener.map_or_else(|| "not served".to_owned(), |listener| format!("http://{listener}/{path}"))
}

/// Where a program runs, in the order in which a packet that comes in meets it.
fn place(program: &str) -> (u8, &str) {
    match program {
        "uplink_xdp" => (0, "xdp"),
        "uplink_xdp_generic" => (0, "xdp generic"),
        "edge_ingress" | "pod_ingress" => (1, "tc ingress"),
        "edge_egress" => (2, "tc egress"),
        other => (3, other),
    }
}

fn link_row(link: &PinnedLink) -> Vec<Value> {
    vec![
        link.hook.as_str().into(),
        link.device.as_deref().unwrap_or("-").into(),
        link.program.map_or("-".into(), |id| u64::from(id).into()),
        if link.alive { "attached" } else { "gone" }.into(),
    ]
}

fn table_row(table: &Table) -> Vec<Value> {
    let (used, capacity) = (u64::from(table.used), u64::from(table.capacity));
    let percent = match used * 100 / capacity.max(1) {
        0 if used > 0 => "<1%".to_owned(),
        percent => format!("{percent}%"),
    };
    vec![table.map.into(), used.into(), capacity.into(), percent.into()]
}

fn since(time: Timestamp, now: Timestamp) -> String {
    duration(u64::try_from(now.duration_since(time).as_millis()).unwrap_or(0))
}

//! Scripts of what a cluster says and what stands in the table then: `golden/*.txt`, readable as documentation.
//!
//! A script has sections. `-- apply --` holds YAML; `-- delete --` names objects, one a line; what follows is expected of the
//! control plane since the section before: `-- changes --`, `-- operations --` (on the maps, those after the grace period below a
//! line), `-- table --`, `-- health checks --`, `-- node --`, `-- rejected --`. Whatever the script, its last objects give the same table in any order, nothing changes when they come again, nothing is left when they
//! are deleted, and the table is the same when they come back. After each step the maps hold what the table says.
//! `SLUICE_GOLDEN=write` writes what came out into the scripts.

mod recording;

use proxy_agent::control::Control;
use proxy_agent::maps::{Capacity, MemoryMaps, services};
use proxy_agent::state::HealthCheck;
use proxy_agent::sync::Sync;
use proxy_agent::table::{Change, WantedBackend, WantedService};
use proxy_agent::watch::Event;
use proxy_agent::watch::files::parse;
use proxy_agent::watch::objects::{Kind, Object, ObjectName};
use proxy_common::abi::{BackendState, Family, FrontendKind, ServiceFlags, ServiceName};
use recording::Recording;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

const CAPACITY: Capacity = Capacity {
    services: 512,
    frontends: 512,
    backends: 512,
    slots: 16_384,
    descriptors: 1024,
    source_ranges: 512,
    connections: 0,
    flows: 0,
    flows_spill: 0,
    flows_any: 0,
    flows_any_spill: 0,
    udp_peers: 0,
};

/// The node that the scripts run on.
const NODE: &str = "node-1";

/// Slots that are written one after the other are listed up to this many; a table of Maglev has a thousand.
const LISTED: usize = 8;

#[test]
fn golden() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut scripts: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() > 10, "the scripts are there");
    let mut failed = Vec::new();
    for path in scripts {
        let expected = std::fs::read_to_string(&path).unwrap();
        let actual = run(&expected);
        if actual != expected && std::env::var("SLUICE_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&path, &actual).unwrap();
        } else if actual != expected {
            failed.push(format!("{}:\n{}", path.display(), difference(&expected, &actual)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs a script and returns it with what really came out.
fn run(script: &str) -> String {
    let mut world = World::new();
    let mut written = String::new();
    for (head, body) in sections(script) {
        let out = match head {
            "apply" => world.apply(body),
            "delete" => world.delete(body),
            "changes" => changes(&std::mem::take(&mut world.changes)),
            "operations" => std::mem::take(&mut world.operations),
            "table" => table(&world.control),
            "health checks" => health_checks(&world.control),
            "node" => node(&world.control),
            "rejected" => world.control.rejections().iter().map(|rejection| format!("{rejection}\n")).collect(),
            "" => body.to_owned(),
            other => panic!("no section is called {other:?}"),
        };
        if !head.is_empty() {
            writeln!(written, "-- {head} --").unwrap();
        }
        written += &out;
    }
    world.check_laws();
    written
}

/// A control plane and the objects that it was told of.
struct World {
    control: Control,
    sync: Sync<Recording<MemoryMaps>>,
    objects: BTreeMap<(Kind, ObjectName), Object>,
    changes: Vec<Change>,
    operations: String,
}

impl World {
    fn new() -> Self {
        let mut control = Control::new(NODE);
        for kind in Kind::ALL {
            control.on_event(Event::Synced(kind), Instant::now());
        }
        let (sync, _) = Sync::adopt(Recording::new(MemoryMaps::new(CAPACITY))).unwrap();
        Self { control, sync, objects: BTreeMap::new(), changes: Vec::new(), operations: String::new() }
    }

    /// What changed, once it stands in the maps.
    fn take(&mut self) -> Vec<Change> {
        let changes = self.control.take_changes();
        let before = self.sync.maps().lines().len();
        assert_eq!(self.sync.apply(changes.clone()).rejected, []);
        let at_once = self.sync.maps().lines().len();
        if let Some(token) = self.sync.retired_pending() {
            self.sync.grace_ended(token);
        }
        let lines = self.sync.maps().lines();
        let (now, later) = (&lines[before..at_once], &lines[at_once..]);
        let line = if later.is_empty() { "" } else { "(grace period)\n" };
        self.operations = operations(now) + line + &operations(later);
        assert_eq!(in_maps(self.sync.maps().inner()), table(&self.control), "maps and table");
        changes
    }

    fn tell(&mut self, event: Event) {
        self.control.on_event(event, Instant::now());
    }

    fn apply(&mut self, yaml: &str) -> String {
        self.changes.clear();
        for defined in parse::yaml(yaml).unwrap_or_else(|error| panic!("{error:?} in\n{yaml}")) {
            let object = defined.object;
            self.objects.insert((object.kind(), object.name()), object.clone());
            self.tell(object.into());
        }
        self.changes = self.take();
        yaml.to_owned()
    }

    fn delete(&mut self, lines: &str) -> String {
        self.changes.clear();
        for line in lines.lines() {
            let (kind, name) = line.split_once(' ').unwrap();
            let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).unwrap();
            let (namespace, name) = name.split_once('/').unwrap_or(("", name));
            let name = ObjectName::new(namespace, name);
            assert!(self.objects.remove(&(kind, name.clone())).is_some(), "{line}");
            self.tell(Event::Delete(kind, name));
        }
        self.changes = self.take();
        lines.to_owned()
    }

    fn check_laws(mut self) {
        let last = said(&self.control);
        let objects = self.objects.clone();
        let mut reordered = Self::new();
        for object in objects.values().rev() {
            reordered.tell(object.clone().into());
            reordered.take();
        }
        assert_eq!(said(&reordered.control), last, "in another order, one by one");
        objects.values().for_each(|object| self.tell(object.clone().into()));
        assert_eq!(changes(&self.take()), "", "the same again");
        objects.keys().for_each(|(kind, name)| self.tell(Event::Delete(*kind, name.clone())));
        self.take();
        assert_eq!((table(&self.control), self.control.rejections()), (String::new(), Vec::new()), "all deleted");
        objects.values().for_each(|object| self.tell(object.clone().into()));
        self.take();
        assert_eq!(said(&self.control), last, "all there again");
    }
}

/// All that is told of the objects, whatever order they came in.
fn said(control: &Control) -> (String, String, Vec<String>) {
    (table(control), health_checks(control), control.rejections().iter().map(ToString::to_string).collect())
}

/// Head and body of each section; what stands before the first has an empty head.
fn sections(script: &str) -> Vec<(&str, &str)> {
    let (mut found, mut head, mut start, mut at) = (Vec::new(), "", 0, 0);
    for line in script.split_inclusive('\n') {
        if let Some(name) = line.trim_end().strip_prefix("-- ").and_then(|rest| rest.strip_suffix(" --")) {
            found.push((head, &script[start..at]));
            (head, start) = (name, at + line.len());
        }
        at += line.len();
    }
    found.push((head, &script[start..]));
    found
}

/// What load balancers are told of which Service.
fn health_checks(control: &Control) -> String {
    let checks = control.health_checks().all().flat_map(|(name, checks)| checks.iter().map(move |check| (name, check)));
    let line = |(name, check): (&ObjectName, &HealthCheck)| {
        let family = if check.family == Family::V4 { "IPv4" } else { "IPv6" };
        format!("{name} {family} port {}: {} here\n", check.port, check.endpoints)
    };
    checks.map(line).collect()
}

/// What is known of this node.
fn node(control: &Control) -> String {
    let facts = control.node();
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let known = if facts.exists { "known" } else { "not there" };
    format!(
        "{known}, {}eligible\naddresses: {}\nof them primary: {}\npod CIDRs: {}\nzone: {}\n",
        if facts.eligible { "" } else { "not " },
        list(facts.addresses.iter().map(ToString::to_string).collect()),
        list(facts.primary().iter().map(ToString::to_string).collect()),
        list(facts.pod_cidrs.iter().map(ToString::to_string).collect()),
        facts.zone.as_deref().unwrap_or("none"),
    )
}

fn table(control: &Control) -> String {
    let mut services: Vec<_> = control.table().collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services.iter().map(service).collect()
}

/// The maps as a program reads them, written as the table is.
fn in_maps(maps: &MemoryMaps) -> String {
    let views = services(maps).unwrap().into_iter();
    let held = views.map(|view| {
        let backends = view.backends.iter();
        let backends = backends.map(|held| {
            assert_eq!(held.sets, held.state.sets(), "the sets and the state of {}", held.addr);
            WantedBackend { addr: held.addr, port: held.port, local: held.local, state: held.state }
        });
        let wanted = WantedService::new(view.name, view.frontends, backends.collect());
        service(&WantedService { flags: view.flags, affinity: view.affinity, sources: view.sources, ..wanted })
    });
    held.collect()
}

fn service(service: &WantedService) -> String {
    let mut text = name(&service.name) + "\n";
    for (key, kind) in &service.frontends {
        let kind_name = kind.name();
        match *kind {
            FrontendKind::CLUSTER_REST => writeln!(text, "  {kind_name} {}, all else: reject", key.addr).unwrap(),
            FrontendKind::NODE_PORT => writeln!(text, "  {kind_name} {}", key.port).unwrap(),
            _ => writeln!(text, "  {kind_name} {}", SocketAddr::new(key.addr.into(), key.port.number())).unwrap(),
        }
    }
    let flags = service.flags;
    for (flag, line) in [
        (ServiceFlags::INTERNAL_LOCAL, "  internal traffic: Local set\n"),
        (ServiceFlags::EXTERNAL_LOCAL, "  external traffic: Local set\n"),
        (ServiceFlags::MAGLEV, "  algorithm: maglev\n"),
    ] {
        text += if flags.has(flag) { line } else { "" };
    }
    if service.affinity > 0 {
        writeln!(text, "  affinity: {} s", service.affinity).unwrap();
    }
    if let Some(sources) = &service.sources {
        let nets: Vec<String> = sources.iter().map(ToString::to_string).collect();
        writeln!(text, "  load balancer from: {}", if nets.is_empty() { "nowhere".to_owned() } else { nets.join(", ") })
            .unwrap();
    }
    let two = flags.has(ServiceFlags::INTERNAL_LOCAL) || flags.has(ServiceFlags::EXTERNAL_LOCAL);
    text.extend(service.backends.iter().map(|held| backend(held, two)));
    if !flags.has(ServiceFlags::ENDPOINTS) {
        text += "  reject\n";
    }
    text
}

/// Sets are named where there may be two.
fn backend(backend: &WantedBackend, two: bool) -> String {
    let address = SocketAddr::new(backend.addr.into(), backend.port.number());
    let local = if backend.local { " local" } else { "" };
    let state = match backend.state.sets() {
        BackendState::IN_CLUSTER if two => " [Cluster]",
        BackendState::IN_LOCAL => " [Local]",
        BackendState::IN_BOTH => " [Cluster, Local]",
        BackendState::IN_CLUSTER => "",
        _ => " old clients only",
    };
    format!("  -> {address}{local}{state}\n")
}

fn name(name: &ServiceName) -> String {
    let family = if name.family() == Family::V4 { "IPv4" } else { "IPv6" };
    let colon = if name.port().is_empty() { "" } else { ":" };
    format!("{}/{}{colon}{} {} {family}", name.namespace(), name.name(), name.port(), name.proto.name().unwrap())
}

fn changes(changes: &[Change]) -> String {
    let line = |change: &Change| match change {
        Change::Set(service) => format!("set {}\n", name(&service.name)),
        Change::Remove(gone) => format!("remove {}\n", name(gone)),
    };
    changes.iter().map(line).collect()
}

/// Operations in the order in which they were issued; many slots in a row are counted by whom they name.
fn operations(lines: &[String]) -> String {
    let is_slot = |line: &String| line.starts_with("slot ");
    let mut text = String::new();
    for run in lines.chunk_by(|one, next| is_slot(one) && is_slot(next)) {
        if run.len() <= LISTED {
            text.extend(run.iter().map(|line| format!("{line}\n")));
            continue;
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        run.iter().for_each(|line| *counts.entry(line).or_default() += 1);
        text.extend(counts.iter().map(|(line, count)| format!("{count} times {line}\n")));
    }
    text
}

fn difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(one, other)| one == other).count();
    let show = |lines: &[&str]| {
        lines.iter().skip(same.saturating_sub(3)).take(12).map(|line| format!("    {line}\n")).collect::<String>()
    };
    format!("  from line {}:\n  expected\n{}  came out\n{}", same + 1, show(&expected), show(&actual))
}

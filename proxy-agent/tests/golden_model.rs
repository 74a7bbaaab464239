//! Random sequences of object changes. After each step the table, kept up to date change by change, equals the one that a new
//! control plane compiles from the objects that are left, told in another order; the maps hold it; and each frontend stands in one service.

#[path = "random/cidrs.rs"]
mod cidrs;
#[path = "random/held.rs"]
mod held;
#[path = "random/objects.rs"]
mod objects;

use cidrs::service_cidr;
use held::{ROOMY, held};
use objects::{meta, node, service, slice};
use proptest::prelude::*;
use proxy_agent::control::Control;
use proxy_agent::maps::MemoryMaps;
use proxy_agent::sync::Sync;
use proxy_agent::table::{Age, Change, PortName, WantedService};
use proxy_agent::watch::Event;
use proxy_agent::watch::objects::{Kind, Object, ObjectName, Service, ServicePort, ServiceSpec};
use proxy_common::abi::Family;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

/// What happens in one step.
#[derive(Clone, Debug)]
enum Step {
    Apply(Box<Object>),
    /// Deletes the object at this place among those there are.
    Delete(prop::sample::Index),
    /// Lets what has come so far take effect.
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => service().prop_map(|object| Step::Apply(Box::new(object))),
        6 => slice().prop_map(|object| Step::Apply(Box::new(object))),
        1 => node().prop_map(|object| Step::Apply(Box::new(object))),
        1 => service_cidr().prop_map(|object| Step::Apply(Box::new(object))),
        2 => any::<prop::sample::Index>().prop_map(Step::Delete),
        4 => Just(Step::Take),
    ]
}

/// A control plane that has seen both lists.
fn started() -> Control {
    let mut control = Control::new("node-1");
    let kinds = [Kind::Service, Kind::EndpointSlice, Kind::ServiceCidr];
    kinds.into_iter().for_each(|kind| control.on_event(Event::Synced(kind), Instant::now()));
    control
}

fn from_nothing<'a>(objects: impl Iterator<Item = &'a Object>) -> (Control, BTreeMap<PortName, WantedService>) {
    let mut control = started();
    objects.for_each(|object| control.on_event(object.clone().into(), Instant::now()));
    let changes = control.take_changes();
    let mut table = BTreeMap::new();
    put(&mut table, changes);
    (control, table)
}

/// Puts what changed in force: in the table, and in the maps, which then hold the same.
fn take(control: &mut Control, table: &mut BTreeMap<PortName, WantedService>, sync: &mut Sync<MemoryMaps>) {
    let changes = control.take_changes();
    assert!(sync.apply(changes.clone()).rejected.is_empty());
    if let Some(token) = sync.retired_pending() {
        sync.grace_ended(token);
    }
    put(table, changes);
    let ageless = table.iter().map(|(name, service)| (name.clone(), WantedService { age: Age::from(None), ..service.clone() }));
    assert_eq!(held(sync.maps()), ageless.collect());
}

/// Puts changes in force; each must make a difference.
fn put(table: &mut BTreeMap<PortName, WantedService>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Set(service) => {
                assert!(
                    service.frontends.is_sorted() && service.backends.is_sorted_by_key(|backend| (backend.addr, backend.port))
                );
                assert!(!service.frontends.is_empty(), "{service:?}");
                let before = table.insert(service.name.clone(), service.clone());
                assert_ne!(before, Some(service));
            }
            Change::Remove(name) => assert!(table.remove(&name).is_some(), "{name:?}"),
        }
    }
}

fn check(control: &mut Control, table: &BTreeMap<PortName, WantedService>, objects: &BTreeMap<(Kind, ObjectName), Object>) {
    let (mut fresh, wanted) = from_nothing(objects.values());
    let (mut reversed, in_reverse) = from_nothing(objects.values().rev());
    assert_eq!(table, &wanted);
    assert_eq!(wanted, in_reverse);
    assert_eq!(control.rejections(), fresh.rejections());
    assert_eq!(fresh.rejections(), reversed.rejections());
    assert!(control.health_checks().all().eq(fresh.health_checks().all()), "S49");
    assert!(fresh.health_checks().all().eq(reversed.health_checks().all()), "S49, in another order");
    for family in [Family::V4, Family::V6] {
        assert_eq!(control.without_local(family), fresh.without_local(family));
    }
    assert_eq!(control.service_ports(), table.len());
    let cidrs = fresh.take_service_cidrs();
    assert_eq!(cidrs, reversed.take_service_cidrs());
    assert!(control.take_service_cidrs().is_none_or(|given| Some(given) == cidrs), "S26");
    let given: BTreeSet<_> = control.table().map(|service| service.name).collect();
    assert_eq!(given, table.keys().cloned().collect());
    let mut keys = HashSet::new();
    assert!(table.values().flat_map(|service| &service.frontends).all(|(key, _)| keys.insert(*key)));
}

/// Takes these steps; what came takes effect at the end of each, or where a step says so.
fn walk(steps: Vec<Step>, each: bool) {
    let (mut control, mut table, mut objects) = (started(), BTreeMap::new(), BTreeMap::new());
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(ROOMY)).unwrap();
    for step in steps.into_iter().chain([Step::Take]) {
        let takes = each || matches!(step, Step::Take);
        match step {
            Step::Apply(object) => {
                objects.insert((object.kind(), object.name()), (*object).clone());
                control.on_event(Event::Apply(object), Instant::now());
            }
            Step::Delete(index) if !objects.is_empty() => {
                let (kind, name) = index.get(&objects.keys().cloned().collect::<Vec<_>>()).clone();
                objects.remove(&(kind, name.clone()));
                control.on_event(Event::Delete(kind, name), Instant::now());
            }
            Step::Delete(_) | Step::Take => {}
        }
        if takes {
            take(&mut control, &mut table, &mut sync);
            check(&mut control, &table, &objects);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_nothing(steps in prop::collection::vec(step(), 1..60)) {
        walk(steps, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn incremental_equals_from_nothing_after_each_of_thousands_of_steps(steps in prop::collection::vec(step(), 4_000)) {
        walk(steps, true);
    }
}

#[test]
fn s11_nothing_before_both_lists() {
    let mut control = Control::new("node-1");
    let metadata = meta("a".into(), None);
    let ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
    let spec = ServiceSpec { cluster_ip: "10.96.0.1".into(), ports, ..ServiceSpec::default() };
    let service = Object::Service(Service { metadata, spec, ..Service::default() });
    control.on_event(service.into(), Instant::now());
    for kind in [Kind::Node, Kind::Service] {
        control.on_event(Event::Synced(kind), Instant::now());
        assert_eq!((control.synced(), control.take_changes()), (false, Vec::new()), "{kind}");
        assert_eq!(control.pending().services, 1);
    }
    control.on_event(Event::Synced(Kind::EndpointSlice), Instant::now());
    assert_eq!((control.synced(), control.take_changes().len()), (true, 1));
    assert_eq!(control.pending().services, 0);
}

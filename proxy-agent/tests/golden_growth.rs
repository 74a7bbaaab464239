//! What an event changes and writes does not depend on what else there is: the same number of changes and of operations on the tables
//! among ten Services and among a thousand.

use proxy_agent::control::Control;
use proxy_agent::maps::{Capacity, FaultyMaps, MemoryMaps};
use proxy_agent::sync::Sync;
use proxy_agent::watch::Event;
use proxy_agent::watch::objects::{EndpointSlice, Kind, Object, ObjectName, Service};
use std::time::Instant;

struct Plane {
    control: Control,
    tables: Sync<FaultyMaps<MemoryMaps>>,
}

fn service(number: usize) -> Event {
    let ip = format!("10.96.{}.{}", number / 250, number % 250 + 1);
    let json = format!(
        r#"{{"metadata": {{"name": "s{number}", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}}, "spec": {{"clusterIP": "{ip}",
            "clusterIPs": ["{ip}"], "ipFamilies": ["IPv4"], "ports": [{{"port": 80}}]}}}}"#
    );
    Event::from(Object::from(serde_json::from_str::<Service>(&json).unwrap()))
}

/// A slice of three endpoints, one of which is ready or not.
fn slice(number: usize, ready: bool) -> Event {
    let endpoint = |place: usize, ready: bool| {
        format!(r#"{{"addresses": ["10.{place}.{}.{}"], "conditions": {{"ready": {ready}}}}}"#, number / 250, number % 250 + 1)
    };
    let endpoints = [endpoint(1, ready), endpoint(2, true), endpoint(3, true)].join(", ");
    let json = format!(
        r#"{{"metadata": {{"name": "s{number}-a", "namespace": "n", "labels": {{"kubernetes.io/service-name": "s{number}"}}}},
            "addressType": "IPv4", "ports": [{{"name": "", "port": 8080}}], "endpoints": [{endpoints}]}}"#
    );
    Event::from(Object::from(serde_json::from_str::<EndpointSlice>(&json).unwrap()))
}

impl Plane {
    fn with(services: usize) -> Self {
        let (tables, _) = Sync::adopt(FaultyMaps::new(MemoryMaps::new(Capacity::for_memory(0)))).unwrap();
        let mut plane = Self { control: Control::new("node-1"), tables };
        for number in 0..services {
            [service(number), slice(number, true)].into_iter().for_each(|event| plane.control.on_event(event, Instant::now()));
        }
        for kind in [Kind::Service, Kind::EndpointSlice] {
            plane.control.on_event(Event::Synced(kind), Instant::now());
        }
        let applied = plane.tables.apply(plane.control.take_changes());
        assert_eq!((applied.flips, applied.rejected), (services, Vec::new()));
        plane.rest();
        plane
    }

    fn rest(&mut self) {
        if let Some(token) = self.tables.retired_pending() {
            self.tables.grace_ended(token);
        }
    }

    /// Changes of the table, and operations on the tables of programs, until all is at rest.
    fn cost(&mut self, event: Event) -> (usize, u64) {
        let before = self.tables.maps().operations();
        self.control.on_event(event, Instant::now());
        let applied = self.tables.apply(self.control.take_changes());
        self.rest();
        (applied.changes.len(), self.tables.maps().operations() - before)
    }

    /// An endpoint that leaves, a slice that says nothing new, an endpoint that comes, a Service that goes and one that comes.
    fn costs(&mut self, number: usize) -> [(usize, u64); 5] {
        let gone = Event::Delete(Kind::Service, ObjectName::new("n", &format!("s{number}")));
        [slice(number, false), slice(number, false), slice(number, true), gone, service(number)].map(|event| self.cost(event))
    }
}

#[test]
fn an_event_costs_what_it_changes_whatever_else_there_is() {
    let (mut few, mut many) = (Plane::with(10), Plane::with(1000));
    let costs = few.costs(5);
    // A set of two written anew, of three, a service taken out and put back: no operation more than these.
    assert_eq!(costs.map(|(changes, _)| changes), [1, 0, 1, 1, 1]);
    assert_eq!(costs[1].1, 0, "nothing new is written");
    for number in [0, 5, 500, 999] {
        assert_eq!(many.costs(number), costs, "service {number} of 1000");
    }
    println!("REPORT: changes and operations: {costs:?}");
}

//! What an event costs as Services grow: what is changed and written, counted, and the time.

use anyhow::{Result, ensure};
use proxy_agent::maps::{Capacity, FaultyMaps, MemoryMaps};
use proxy_agent::watch::Event;
use proxy_agent::watch::objects::{Kind, ObjectName};
use sluice_tests::bench::{Figure, Target};

use crate::objects::{self, From, Size};
use crate::plane::Plane;

const SERVICES: [usize; 4] = [100, 1_000, 10_000, 100_000];
const ENDPOINTS: usize = 3;
const TURNS: usize = 50;
const MICRO: f64 = 1e3;
/// Room for 100,000 Services of two frontends each, and for changes.
const ROOM: u32 = 1 << 20;
const KINDS: [&str; 3] = ["a slice changes", "a Service goes", "a Service comes"];

/// What one kind of event came to: changes of the table, writes to maps, microseconds.
type Cost = (usize, u64, f64);

/// Counts and times by number of Services.
pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut first: Option<Vec<(usize, u64)>> = None;
    for services in SERVICES {
        let costs: Vec<Vec<Cost>> = rounds_over(Size::new(services, ENDPOINTS), rounds)?;
        let counts: Vec<(usize, u64)> = costs.iter().map(|of| (of[0].0, of[0].1)).collect();
        let reference = first.get_or_insert_with(|| counts.clone());
        for (kind, (name, (costs, (changes, writes)))) in KINDS.iter().zip(costs.iter().zip(&counts)).enumerate() {
            ensure!(costs.iter().all(|cost| (cost.0, cost.1) == (*changes, *writes)), "{name}: the counts differ by Service");
            let times: Vec<f64> = costs.iter().map(|cost| cost.2).collect();
            figures.push(Figure::new(&format!("{name}, among {services}"), "µs", &times));
            let more = writes.abs_diff(reference[kind].1) as f64 + changes.abs_diff(reference[kind].0) as f64;
            let text = format!("… {changes} change, {writes} map writes; more than among {}", SERVICES[0]);
            figures.push(Figure::new(&text, "", &[more]).target(Target::AtMost(0.0)));
        }
    }
    Ok(figures)
}

/// The cost of each kind of event, in each turn.
fn rounds_over(size: Size, rounds: usize) -> Result<Vec<Vec<Cost>>> {
    let capacity = Capacity {
        services: ROOM / 4,
        frontends: ROOM,
        backends: ROOM,
        slots: ROOM,
        descriptors: ROOM / 2,
        ..Capacity::for_memory(0)
    };
    let mut plane = Plane::over(FaultyMaps::new(MemoryMaps::new(capacity)))?;
    let applied = plane.list(size.lists()?);
    ensure!(applied.rejected.is_empty() && applied.flips == size.services, "not all Services were written");
    plane.rest();
    let mut all = vec![Vec::new(); KINDS.len()];
    for turn in 0..TURNS.min(5 * rounds) {
        let number = turn * (size.services / TURNS);
        let name = ObjectName::new("default", &objects::name_of(number));
        let events = [
            size.slice(number, 0, &[0])?,
            Event::Delete(Kind::Service, name),
            objects::service(&objects::service_json(number, From::Server))?,
        ];
        for (costs, event) in all.iter_mut().zip(events) {
            costs.push(cost(&mut plane, event)?);
        }
    }
    Ok(all)
}

fn cost(plane: &mut Plane<FaultyMaps<MemoryMaps>>, event: Event) -> Result<Cost> {
    let before = plane.tables.maps().operations();
    let (spent, applied) = plane.change(event)?;
    plane.rest();
    Ok((applied.changes.len(), plane.tables.maps().operations() - before, spent * MICRO))
}

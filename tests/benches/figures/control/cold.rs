//! Cold starts, from lists in hand to the last flip, and one slice that changes afterwards; tables of the kernel.

use std::hint::black_box;

use anyhow::{Result, ensure};
use sluice_tests::Rig;
use sluice_tests::bench::{Figure, Target, percentile};

use crate::clock::cpu_nanos;
use crate::node;
use crate::objects::{self, From, Size};
use crate::plane::Plane;

const SMALL: Size = Size::new(10_000, 10);
const MANY_SERVICES: Size = Size::new(44_000, 1);
const MANY_ENDPOINTS: Size = Size::new(5_000, 50);
/// Slices that change in a round.
const CHANGES: usize = 1_000;
const SECOND: f64 = 1e9;

/// All starts and changes.
pub fn measure(rig: &Rig, rounds: usize) -> Result<Vec<Figure>> {
    let [mut small, mut services, mut endpoints, mut tails, mut medians, mut decoded] = [const { Vec::new() }; 6];
    for round in 0..rounds {
        let at = |name: &str| rig.pins(&format!("{name}-{round}"));
        let changes = |spent: &mut Vec<f64>| percentile(spent, 99.0);
        let (start, mut spent) = start(SMALL, &at("small"), CHANGES)?;
        small.push(start);
        tails.push(changes(&mut spent));
        medians.push(percentile(&spent, 50.0));
        services.push(self::start(MANY_SERVICES, &at("services"), 0)?.0);
        endpoints.push(self::start(MANY_ENDPOINTS, &at("endpoints"), 0)?.0);
        decoded.push(decode()?);
    }
    Ok(vec![
        Figure::new("slice changed among 10,000 × 10, event to flip, p99", "ms", &tails).target(Target::AtMost(1.0)),
        Figure::new("… median", "ms", &medians),
        Figure::new("cold start, 44,000 Services / 44,000 endpoints", "s", &services).target(Target::AtMost(0.5)),
        Figure::new("cold start, 5,000 Services / 250,000 endpoints", "s", &endpoints).target(Target::AtMost(1.0)),
        Figure::new("cold start, 10,000 Services / 100,000 endpoints", "s", &small),
        Figure::new("lists of 10,000 × 10 decoded", "s", &decoded),
    ])
}

/// Seconds from the lists to the last flip, on fresh tables, and what changes after that take.
fn start(size: Size, pins: &std::path::Path, changes: usize) -> Result<(f64, Vec<f64>)> {
    let lists = size.lists()?;
    let (maps, _object) = node::bring_in(&node::object("sluice.o"), pins)?;
    let mut plane = Plane::over(maps)?;
    let (nanos, applied) = cpu_nanos(|| plane.list(lists))?;
    ensure!(applied.rejected.is_empty() && applied.flips == size.services, "not all Services were written");
    let spent = plane.change_some(size, changes)?;
    drop(plane);
    std::fs::remove_dir_all(pins)?;
    Ok((nanos / SECOND, spent))
}

/// Seconds that it takes to read what the API server sends.
fn decode() -> Result<f64> {
    let services: Vec<String> = (0..SMALL.services).map(|number| objects::service_json(number, From::Server)).collect();
    let slices: Vec<String> = (0..SMALL.services).map(|number| SMALL.slice_json(number, 0, &[], From::Server)).collect();
    let (nanos, decoded) = cpu_nanos(|| -> Result<()> {
        services.iter().try_for_each(|json| objects::service(json).map(|event| drop(black_box(event))))?;
        slices.iter().try_for_each(|json| objects::slice(json).map(|event| drop(black_box(event))))
    })?;
    decoded?;
    Ok(nanos / SECOND)
}

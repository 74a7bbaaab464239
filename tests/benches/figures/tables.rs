//! Tables: how long 10,000 Services take from a compiled table into the kernel, and one that changes among them.

use anyhow::{Result, ensure};
use proxy_agent::maps::KernelMaps;
use proxy_agent::sync::Sync;
use proxy_agent::table::Change;
use sluice_tests::Rig;
use sluice_tests::bench::{Figure, Target, percentile};

use super::clock::cpu_nanos;
use super::node;
use super::objects::Size;
use super::plane::{Plane, listed};

const SIZE: Size = Size::new(10_000, 10);
/// Changes of one Service in a round.
const CHANGES: usize = 500;
const MILLI: f64 = 1e6;

/// Writes the whole table and then changes one Service after the other, in each of `rounds` rounds.
pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let rig = Rig::new("bench-tables")?;
    let (mut writes, mut all_changes, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let pins = rig.pins(&round.to_string());
        let mut control = listed(SIZE)?;
        let (maps, _object) = node::bring_in(&node::object("sluice.o"), &pins)?;
        let (mut tables, _) = Sync::adopt(maps)?;
        let changes = control.take_changes();
        writes.push(write(&mut tables, changes)?);
        let spent = Plane { control, tables }.change_some(SIZE, CHANGES)?;
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

fn write(tables: &mut Sync<KernelMaps>, changes: Vec<Change>) -> Result<f64> {
    let (nanos, applied) = cpu_nanos(|| tables.apply(changes))?;
    ensure!(applied.rejected.is_empty() && applied.flips == SIZE.services, "not all Services were written");
    Ok(nanos / MILLI)
}

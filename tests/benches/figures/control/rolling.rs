//! A rolling update: every endpoint of one large Service is replaced, among other Services, in as many events as there could be at
//! most, and in as many as a Deployment makes.

use anyhow::{Result, ensure};
use proxy_agent::maps::KernelMaps;
use sluice_tests::Rig;
use sluice_tests::bench::{Figure, Target};

use crate::node;
use crate::objects::Size;
use crate::plane::Plane;

const SIZE: Size = Size::new(100, 1_000);
const SLICE: usize = 100;
/// Endpoints that change in one event, where they change together.
const TOGETHER: usize = 25;
const MICRO: f64 = 1e3;

/// Microseconds of CPU for each endpoint that changes.
pub fn measure(rig: &Rig, rounds: usize) -> Result<Vec<Figure>> {
    let pins = rig.pins("rolling");
    let (maps, _object) = node::bring_in(&node::object("sluice.o"), &pins)?;
    let mut plane = Plane::over(maps)?;
    let applied = plane.list(SIZE.lists()?);
    ensure!(applied.rejected.is_empty(), "not all Services were written");
    let (mut singly, mut together) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let number = round % (SIZE.services / 2) * 2;
        singly.push(roll(&mut plane, number, 1)?);
        together.push(roll(&mut plane, number + 1, TOGETHER)?);
    }
    drop(plane);
    std::fs::remove_dir_all(&pins)?;
    Ok(vec![
        Figure::new("rolling update of 1,000 endpoints, one an event, each", "µs", &singly).target(Target::AtMost(50.0)),
        Figure::new("… 25 an event, each", "µs", &together).target(Target::AtMost(50.0)),
    ])
}

/// Replaces all endpoints of a Service, so many an event.
fn roll(plane: &mut Plane<KernelMaps>, number: usize, step: usize) -> Result<f64> {
    let mut total = 0.0;
    for part in 0..SIZE.slices() {
        let mut replaced: Vec<usize> = Vec::new();
        for first in (0..SLICE).step_by(step) {
            replaced.extend((first..first + step).map(|place| part * SLICE + place));
            let (spent, applied) = plane.change(SIZE.slice(number, part, &replaced)?)?;
            ensure!(applied.flips == 1 && applied.changes[0].backends_added == step, "one event did something else");
            total += spent;
            plane.rest();
        }
    }
    Ok(total * MICRO / SIZE.endpoints as f64)
}

//! The parts of the bench of the control plane.

use super::{cold, growth, real, rolling};
use anyhow::Result;
use sluice_tests::Rig;
use sluice_tests::bench::Figure;

/// Measures everything, or the part named `only`, in `rounds` rounds.
pub fn measure(rounds: usize, only: Option<&str>) -> Result<Vec<Figure>> {
    let rig = Rig::new("bench-control")?;
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if wanted("cold") {
        figures.extend(cold::measure(&rig, rounds)?);
    }
    if wanted("rolling") {
        figures.extend(rolling::measure(&rig, rounds)?);
    }
    if wanted("growth") {
        figures.extend(growth::measure(rounds)?);
    }
    if wanted("real") {
        figures.extend(real::measure()?);
    }
    Ok(figures)
}

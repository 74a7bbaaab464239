//! What the bench measures with and how its figures are written down. The bench itself is `tests/benches/figures`: it needs the
//! agent, which the harness does without.

mod figure;
mod stats;

pub use figure::{Figure, Report, Target};
pub use stats::{Spread, median, percentile, spread};

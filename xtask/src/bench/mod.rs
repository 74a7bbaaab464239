//! `cargo xtask bench`: figures, as a table and as `target/bench.json`.
//!
//! Invariant: figures are reported, never asserted: the exit code says whether they could be measured.

mod prepare;
mod run;
mod table;

pub use run::{Options, run};

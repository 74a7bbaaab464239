//! `cargo xtask demo`: a cluster of network namespaces, `sluice run` on its nodes, and a story told with real traffic.
//!
//! Invariant: the exit code is 1 if a single request was lost, but for those that a pod took with it when it was killed, or if a
//! chapter did not come out as told.

mod apps;
mod chapters;
mod crash;
mod hints;
mod loads;
mod prepare;
mod run;
mod screen;
mod story;
mod table;
mod titles;

pub use run::{Options, run};

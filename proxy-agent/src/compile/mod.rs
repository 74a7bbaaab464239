//! Facts into the wanted table. No IO, no clock, no Kubernetes types beyond names.
//!
//! Invariant: the table is a function of the facts alone, whatever the order in which they came and however they were
//! batched; each frontend key stands in one service (S9).

mod backends;
mod claims;
mod compiler;
mod health;
mod ports;
mod sources;
mod topology;

pub use compiler::{Compiled, Compiler};
pub use health::HealthChecks;

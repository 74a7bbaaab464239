//! The wanted table against the maps: ordered writes, ids, grace periods, and the end of flows.
//!
//! [`Sync`] owns the tables that only the agent writes. A change costs work in proportion to what it changes, whatever else
//! exists. Programs never see half of one: what a service word names is complete before the word is stored, and stays until no
//! program can hold the old word.

mod adopt;
mod engine;
mod expire;
mod frontends;
mod ids;
mod maglev;
mod plan;
mod precedence;
mod range_sets;
mod ranges;
mod release;
mod renewal;
mod report;
mod restrict;
mod retire;
mod space;
mod sweep;
mod write;

#[cfg(test)]
mod tests;

pub use adopt::Adopted;
pub use engine::Sync;
pub use expire::{FlowState, Timeouts};
pub use renewal::Renewal;
pub use report::{Applied, ChangeKind, Rejection, ServiceChange};
pub use sweep::{SWEEP_INTERVAL, Sweeper, Swept, now, sweep};

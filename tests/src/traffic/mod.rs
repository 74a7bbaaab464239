//! Traffic with real sockets: what clients and servers of a test do, each in a process of its own so that it has the
//! cgroup of its pod (a thread can't have one).
//!
//! A [`Task`] is handed to the helper program `sluice-traffic` as JSON; it answers with JSON [`Line`]s. [`Traffic`] is
//! the handle that the test holds. Invariant: a task's connections are ordinary system calls, nothing retries a failure.

mod dial;
mod handle;
mod held;
mod load;
mod pace;
mod probe;
mod report;
mod serve;
mod stats;
mod store;
mod stream;
mod task;
mod unconnected;

pub use dial::{Answer, Failure};
pub use handle::{Traffic, helper};
pub use report::{Answerer, HeldReport, Line, LoadReport, Outcome, StreamReport, TargetReport, UnconnectedReport};
pub use task::{App, Close, Held, Load, Probe, Serve, Stream, Target, Task, Unconnected};

use anyhow::Result;

use crate::rig::run_janitor;

/// Runs a task to its end in this process: the whole of the helper program.
pub fn run(task: Task) -> Result<()> {
    match task {
        Task::Serve(task) => serve::run(&task),
        Task::Load(task) => load::run(&task),
        Task::Held(task) => held::run(&task),
        Task::Probe(task) => probe::run(&task),
        Task::Stream(task) => stream::run(&task),
        Task::Unconnected(task) => unconnected::run(&task),
        Task::Janitor { test } => run_janitor(&test, &mut std::io::stdin()),
    }
}

//! From a task to the code that does it.

use anyhow::Result;

use super::task::Task;
use super::{held, load, page, probe, serve, stream, unconnected};
use crate::rig::run_janitor;

/// Runs a task to its end in this process: the whole of the helper program.
pub fn run(task: Task) -> Result<()> {
    match task {
        Task::Serve(task) => serve::run(&task),
        Task::Load(task) => load::run(&task),
        Task::Held(task) => held::run(&task),
        Task::Probe(task) => probe::run(&task),
        Task::Get(task) => page::run(&task),
        Task::Stream(task) => stream::run(&task),
        Task::Unconnected(task) => unconnected::run(&task),
        Task::Janitor { test } => run_janitor(&test, &mut std::io::stdin()),
    }
}

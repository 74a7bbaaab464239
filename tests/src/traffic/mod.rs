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
mod page;
mod probe;
mod report;
mod run;
mod serve;
mod stats;
mod store;
mod stream;
mod task;
mod unconnected;

pub use dial::{Answer, Failure};
pub use handle::{Traffic, helper};
pub use report::{Answerer, HeldReport, Line, LoadReport, Outcome, PageReport, StreamReport, TargetReport, UnconnectedReport};
pub use run::run;
pub use task::{App, Close, Get, Held, Load, Probe, Serve, Stream, Target, Task, Unconnected};

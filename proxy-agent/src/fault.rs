//! Fault points: at a named step of its start the agent kills itself as SIGKILL would, so that tests can show that no connection
//! notices, wherever a crash hits.

use nix::sys::signal::{Signal, raise};

/// The step to die at, if any.
#[derive(Clone, Debug, Default)]
pub struct Fault(Option<String>);

impl Fault {
    /// Dies at the step called `name`.
    pub const fn at(name: Option<String>) -> Self {
        Self(name)
    }

    /// The agent has reached a step.
    pub fn reach(&self, name: &str) {
        if self.0.as_deref() == Some(name) {
            tracing::warn!(name, "fault point");
            // A signal that can't be sent leaves the agent alive, which the test notices.
            let _ = raise(Signal::SIGKILL);
        }
    }
}

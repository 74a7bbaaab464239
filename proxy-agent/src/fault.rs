//! Fault points: at a named step of its start the agent kills itself as SIGKILL would, so that tests can show that no connection
//! notices, wherever a crash hits.

use nix::sys::signal::{Signal, raise};

/// Names the step in the agent's environment; a flag would stand in the help of every operator.
const VARIABLE: &str = "SLUICE_FAULT";

/// The step to die at, if any.
#[derive(Clone, Debug, Default)]
pub struct Fault(Option<String>);

impl Fault {
    /// Dies at the step that the environment names.
    pub fn from_env() -> Self {
        Self(std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()))
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

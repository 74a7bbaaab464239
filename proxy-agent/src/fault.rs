//! Fault points: at a named step of its start the agent kills itself as SIGKILL would, so that tests can show that no connection
//! notices, wherever a crash hits; or it hangs there, so that they can show that health tells.

use nix::sys::signal::{Signal, raise};
use std::time::Duration;

/// Names the step in the agent's environment, `hang:` before it if the agent shall hang there; a flag would stand in the help of
/// every operator.
const VARIABLE: &str = "SLUICE_FAULT";
const HANG: &str = "hang:";
const FOREVER: Duration = Duration::from_secs(3600);

/// The step to die or to hang at, if any.
#[derive(Clone, Debug, Default)]
pub struct Fault(Option<String>);

impl Fault {
    /// Dies or hangs at the step that the environment names.
    pub fn from_env() -> Self {
        Self(std::env::var(VARIABLE).ok().filter(|name| !name.is_empty()))
    }

    /// The agent has reached a step.
    pub fn reach(&self, name: &str) {
        let Some(fault) = self.0.as_deref() else { return };
        if fault.strip_prefix(HANG) == Some(name) {
            tracing::warn!(name, "fault point");
            std::thread::sleep(FOREVER);
        }
        if fault == name {
            tracing::warn!(name, "fault point");
            // A signal that can't be sent leaves the agent alive, which the test notices.
            let _ = raise(Signal::SIGKILL);
        }
    }
}

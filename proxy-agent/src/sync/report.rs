//! What became of changes: enough for one log line each, and for the counters.

use crate::maps::MapError;
use crate::table::PortName;

/// The outcome of a batch of changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Service ports that differ from before, in the order in which they were written.
    pub changes: Vec<ServiceChange>,
    /// Service ports that were rejected by this batch and not before.
    pub rejected: Vec<Rejection>,
    /// Service words that were stored.
    pub flips: usize,
}

/// What happened to a service port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It differs.
    Updated,
    /// It is gone.
    Removed,
}

/// How a service port differs from before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceChange {
    /// Which one.
    pub name: PortName,
    /// What happened.
    pub kind: ChangeKind,
    /// Frontends that came or changed their kind.
    pub frontends_added: usize,
    /// Frontends that went.
    pub frontends_removed: usize,
    /// Backends that came.
    pub backends_added: usize,
    /// Backends that went.
    pub backends_removed: usize,
    /// Backends that stay, in another state.
    pub backends_changed: usize,
    /// Backends that new connections choose from.
    pub chosen: usize,
}

/// A service port that could not be brought in line. What the tables held of it stays in force, unless an older one needs the
/// room; it is tried again when room comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// Which one.
    pub name: PortName,
    /// Why.
    pub error: MapError,
}

impl ServiceChange {
    /// No difference yet.
    pub(super) const fn new(name: PortName, kind: ChangeKind) -> Self {
        Self {
            name,
            kind,
            frontends_added: 0,
            frontends_removed: 0,
            backends_added: 0,
            backends_removed: 0,
            backends_changed: 0,
            chosen: 0,
        }
    }

    /// Whether anything differs.
    pub(super) fn is_any(&self) -> bool {
        let differs =
            [self.frontends_added, self.frontends_removed, self.backends_added, self.backends_removed, self.backends_changed];
        self.kind != ChangeKind::Updated || differs != [0; 5]
    }
}

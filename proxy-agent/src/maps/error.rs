//! What can go wrong with a table while the agent runs.

use super::MapName;
use nix::errno::Errno;

/// A table did not take an operation. What stood in it before stands in it still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MapError {
    /// No entry is free.
    #[error(
        "table {map} is full ({capacity} entries): the oldest Services have its room; remove Services or endpoints, or run `sluice \
         cleanup` and start the agent with larger tables"
    )]
    Full {
        /// The table.
        map: MapName,
        /// Its number of entries.
        capacity: u32,
    },
    /// The kernel refused.
    #[error("{call} of table {map} failed: {errno}; the agent tries again, so look in the kernel's log only if this stays")]
    Kernel {
        /// The table.
        map: MapName,
        /// What was tried.
        call: &'static str,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl MapError {
    /// The table that refused.
    pub const fn map(&self) -> MapName {
        match self {
            Self::Full { map, .. } | Self::Kernel { map, .. } => *map,
        }
    }
}

/// A batch ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{error} ({done} entries of the batch were done)")]
pub struct Partial {
    /// Entries done before the one that failed.
    pub done: usize,
    /// Why that one failed.
    pub error: MapError,
}

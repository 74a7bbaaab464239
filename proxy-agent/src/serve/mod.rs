//! What the agent tells others: health, metrics and the report that the command line reads. Nothing here changes anything.
//!
//! * [`conditions`]: what about the node would break traffic.
//! * [`health`]: when the proxy counts as healthy (S51, S52).
//! * [`metrics`]: the registry, and what the agent observes into it.
//! * [`http`]: the two listeners; there is no other.
//! * [`report`]: facts that stand in no map, in a file beside them.

pub mod conditions;
pub mod health;
pub mod http;
pub mod metrics;
pub mod report;

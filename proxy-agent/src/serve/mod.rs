//! What the agent tells others: health, metrics and the report that the command line reads. Nothing here changes anything.
//!
//! * [`conditions`]: what about the node would break traffic.
//! * [`health`]: when the proxy counts as healthy (S51, S52).
//! * [`metrics`]: the registry, and what the agent observes into it.
//! * [`http`]: health and metrics.
//! * [`listen`]: sockets, and how long and how much a client may ask.
//! * [`node_port`]: health checks of Services (S49, S50).
//! * [`report`]: facts that stand in no map, in a file beside them.

pub mod conditions;
pub mod health;
pub mod http;
pub mod listen;
pub mod metrics;
pub mod node_port;
pub mod report;

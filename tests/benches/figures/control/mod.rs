//! The control plane: from an event to the flip, and from a start to the last flip; without an agent, and with one that follows a
//! real API server.

mod cold;
mod growth;
mod parts;
mod real;
mod rolling;
mod watcher;

pub use parts::measure;

//! The Kubernetes API: Services, EndpointSlices, ServiceCIDRs and this node's Node object, listed and watched.
//!
//! Invariant: what the API said stays in force while it can't be asked. After each list, what vanished meanwhile is deleted,
//! and nothing before.

mod access;
mod attempt;
mod backoff;
mod follow;
mod known;
mod notices;
mod trouble;

#[cfg(test)]
mod tests;

pub use access::Access;
pub use follow::Api;
pub use notices::send;

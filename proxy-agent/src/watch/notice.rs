//! What the agent tells people who look at the cluster: Kubernetes Events, as values. `serve` says them, `api` sends them.

use super::objects::ObjectName;

/// A warning about a Service, once for each time that it begins to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// The Service.
    pub service: ObjectName,
    /// Why, in the word that tools filter by.
    pub reason: &'static str,
    /// What the agent tried, in one word.
    pub action: &'static str,
    /// What happened and what to do.
    pub message: String,
}

//! What the agent tells people who look at the cluster: Kubernetes Events, as values. `serve` says them, `api` sends them.

use super::objects::ObjectName;
use std::fmt;

/// What is told of something, once for each time that it begins to hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Of what.
    pub about: About,
    /// Whether somebody should act.
    pub gravity: Gravity,
    /// Why, in the word that tools filter by.
    pub reason: &'static str,
    /// What the agent did or tried, in one word.
    pub action: &'static str,
    /// What happened and what to do.
    pub message: String,
}

/// What a notice is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// The agent's own node.
    Node,
    /// A Service.
    Service(ObjectName),
}

/// The type of an Event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gravity {
    /// Things are as they should be.
    Normal,
    /// Something does not work.
    Warning,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("this node"),
            Self::Service(name) => name.fmt(f),
        }
    }
}

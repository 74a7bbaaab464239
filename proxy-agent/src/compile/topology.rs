//! Topology hints: which of the ready endpoints are meant for this node (S19). All or nothing: one endpoint that does not say
//! makes all hints of its kind void.

use crate::state::{Endpoint, NodeHint};

/// Whom new connections of this node choose among.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topology<'a> {
    /// Everyone.
    All,
    /// Those that name this node.
    Node,
    /// Those that name this zone.
    Zone(&'a str),
}

impl<'a> Topology<'a> {
    /// What the hints of the ready endpoints come to on a node in this zone.
    pub fn of<'e>(ready: impl Iterator<Item = &'e Endpoint> + Clone, zone: Option<&'a str>) -> Self {
        let all_say_nodes = ready.clone().all(|endpoint| endpoint.for_nodes != NodeHint::Unsaid);
        if all_say_nodes && ready.clone().any(|endpoint| Self::Node.suits(endpoint)) {
            return Self::Node;
        }
        let Some(zone) = zone.map(Self::Zone) else { return Self::All };
        let all_say_zones = ready.clone().all(|endpoint| !endpoint.for_zones.is_empty());
        if all_say_zones && ready.clone().any(|endpoint| zone.suits(endpoint)) { zone } else { Self::All }
    }

    /// Whether new connections may choose the endpoint, if it is ready.
    pub fn suits(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::All => true,
            Self::Node => endpoint.for_nodes == NodeHint::Here,
            Self::Zone(zone) => endpoint.for_zones.iter().any(|named| **named == *zone),
        }
    }
}

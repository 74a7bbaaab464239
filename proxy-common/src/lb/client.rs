//! Who asks, and which of a service's sets that client gets.

use super::{Caller, Env, Place};
use crate::abi::{Addr, Cidr, Family, FrontendKind, ServiceFlags};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// A process of this node.
    Node,
    /// A pod that a local-traffic detector knows; without a detector nobody is one.
    LocalPod,
    /// Anyone else.
    Stranger,
}

/// A service's two sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// S16.
    Cluster,
    /// S17.
    Local,
}

impl Client {
    /// Who sent a packet from `src`.
    #[inline(always)]
    pub fn of_packet<E: Env>(env: &E, place: &Place, src: &Addr) -> Self {
        if place.made_here {
            return Self::Node;
        }
        match detector(env, src.family()) {
            Some(pods) if pods.contains(src) => Self::LocalPod,
            _ => Self::Stranger,
        }
    }

    /// Who calls a socket hook with an address of this family.
    #[inline(always)]
    pub fn of_socket<E: Env>(env: &E, caller: Caller, family: Family) -> Self {
        if env.config().is_some_and(|config| config.netns == caller.netns) {
            Self::Node
        } else if detector(env, family).is_some() {
            Self::LocalPod
        } else {
            Self::Stranger
        }
    }

    /// The set that new connections of this client choose from: policies count (S22, S23), but an external one only for
    /// strangers (S31, S32).
    #[inline(always)]
    pub fn set(self, kind: FrontendKind, flags: ServiceFlags) -> Set {
        let local = match kind {
            FrontendKind::CLUSTER_IP => flags.has(ServiceFlags::INTERNAL_LOCAL),
            _ => self == Self::Stranger && flags.has(ServiceFlags::EXTERNAL_LOCAL),
        };
        if local { Set::Local } else { Set::Cluster }
    }
}

/// The prefix of local pods in a family, if a detector is configured (S38).
#[inline(always)]
pub fn detector<E: Env>(env: &E, family: Family) -> Option<&Cidr> {
    let cidr = &env.config()?.cluster_cidrs[match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }];
    cidr.is_set().then_some(cidr)
}

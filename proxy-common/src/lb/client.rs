//! Who asks, and which of a service's sets that client gets.

use super::{Caller, Env, Place};
use crate::abi::{Addr, AffinityKey, DeviceFlags, Family, FrontendKind, Masquerade, ServiceFlags, ServiceId};

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

/// Who keeps a backend (S43).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity<'a> {
    /// The client with this address.
    Address(&'a Addr),
    /// The network namespace with this cookie, from this address; unspecified while that is not settled.
    Namespace(u64, &'a Addr),
}

impl Identity<'_> {
    /// The client's key of AFFINITY.
    #[inline(always)]
    pub const fn key(&self, service: ServiceId) -> AffinityKey {
        match self {
            Self::Address(addr) => AffinityKey::of_address(service, addr),
            Self::Namespace(cookie, _) => AffinityKey::of_namespace(service, *cookie),
        }
    }

    /// The address that the client's packets come from; unspecified while that is not settled (S24).
    #[inline(always)]
    pub const fn source(&self) -> &Addr {
        match self {
            Self::Address(addr) | Self::Namespace(_, addr) => addr,
        }
    }
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
        if is_local_pod(env, place, src) { Self::LocalPod } else { Self::Stranger }
    }

    /// Who calls a socket hook with an address of this family.
    #[inline(always)]
    pub fn of_socket<E: Env>(env: &E, caller: Caller, family: Family) -> Self {
        if env.config().is_some_and(|config| config.netns == caller.netns) {
            Self::Node
        } else if detects(env, family) {
            Self::LocalPod
        } else {
            Self::Stranger
        }
    }

    /// The set that new connections of this client choose from: policies count (S22, S23), but an external one only for
    /// strangers (S31, S32).
    #[inline(always)]
    pub fn set(self, kind: FrontendKind, flags: ServiceFlags) -> Set {
        let local = if kind.is_external() {
            self == Self::Stranger && flags.has(ServiceFlags::EXTERNAL_LOCAL)
        } else {
            flags.has(ServiceFlags::INTERNAL_LOCAL)
        };
        if local { Set::Local } else { Set::Cluster }
    }
}

/// Whether a local-traffic detector is configured in a family (S38).
#[inline(always)]
pub fn detects<E: Env>(env: &E, family: Family) -> bool {
    env.config()
        .is_some_and(|config| config.masquerade.has(Masquerade::BY_DEVICE) || config.cluster_cidrs[index(family)].is_set())
}

/// Whether a detector knows a packet's sender as a local pod: by the device that it came in by, or by its address.
#[inline(always)]
fn is_local_pod<E: Env>(env: &E, place: &Place, src: &Addr) -> bool {
    env.config().is_some_and(|config| {
        if config.masquerade.has(Masquerade::BY_DEVICE) {
            return env.device(place.device).has(DeviceFlags::LOCAL_PODS);
        }
        let pods = &config.cluster_cidrs[index(src.family())];
        pods.is_set() && pods.contains(src)
    })
}

#[inline(always)]
pub const fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

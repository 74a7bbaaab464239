//! Services: one id is one service port in one family; one word says which descriptor is in force.

use super::{BackendState, Family, Proto, RangeSet};
use bytemuck::{Pod, Zeroable};
use core::ops::Range;

/// Index into SERVICES; 0 is no service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct ServiceId(pub u32);

/// Value of SERVICES: the only word that flips. A decision loads it exactly once. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct ServiceWord(u64);

impl ServiceWord {
    /// No descriptor is in force: the service is not there.
    pub const NONE: Self = Self(0);

    /// The word that puts the descriptor at `index` in force.
    pub const fn of(index: u32) -> Self {
        Self(index as u64 + 1)
    }

    /// Index of the descriptor in force.
    #[inline(always)]
    pub const fn descriptor(self) -> Option<u32> {
        if self.0 == 0 { None } else { Some((self.0 - 1) as u32) }
    }
}

/// What a service port means at one moment. Immutable while a [`ServiceWord`] names it. 36 bytes.
///
/// The slots of both sets lie in the service's block and never change while it is in force; the sets may overlap. What is left
/// of the block names, for the agent and the CLI alone, the service's other backends, which only keep the flows they have; 0 is
/// none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Descriptor {
    /// First slot of the block.
    pub first: u32,
    /// Number of slots of the block: 0 or a power of two that divides `first`.
    pub room: u32,
    /// The Cluster set (S16).
    pub cluster: SlotRange,
    /// The Local set (S17).
    pub local: SlotRange,
    /// Which set serves whom, and what an empty one means.
    pub flags: ServiceFlags,
    /// How long a client keeps its backend after its last new connection, in milliseconds (S43); 0 = not at all.
    pub affinity: u32,
    /// Who may dial the addresses of its load balancer (S24).
    pub sources: RangeSet,
}

/// Consecutive slots. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct SlotRange {
    /// The first slot.
    pub first: u32,
    /// Number of slots.
    pub count: u32,
}

/// Facts about a service port that are no set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct ServiceFlags(pub u32);

impl ServiceFlags {
    /// Somewhere an endpoint could serve: an empty set drops rather than rejects (S18).
    pub const ENDPOINTS: Self = Self(1);
    /// internalTrafficPolicy is Local.
    pub const INTERNAL_LOCAL: Self = Self(1 << 1);
    /// externalTrafficPolicy is Local.
    pub const EXTERNAL_LOCAL: Self = Self(1 << 2);
    /// A backend has many slots, and a packet chooses one by its client rather than at random (S20).
    pub const MAGLEV: Self = Self(1 << 3);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `self` if `condition` holds, else nothing.
    #[must_use]
    pub const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self(0) }
    }
}

impl Descriptor {
    /// The sets that a slot lies in, as a backend's state says it.
    pub fn sets_of(&self, slot: u32) -> BackendState {
        let cluster = BackendState::IN_CLUSTER.when(self.cluster.contains(slot));
        cluster.with(BackendState::IN_LOCAL.when(self.local.contains(slot)))
    }

    /// The slots of the block that lie behind both sets.
    pub fn tail(&self) -> Range<u32> {
        let sets = [self.cluster, self.local].into_iter().filter(|set| set.count > 0);
        let end = sets.map(|set| set.first.saturating_add(set.count)).max();
        end.unwrap_or(self.first)..self.first.saturating_add(self.room)
    }
}

impl SlotRange {
    /// Whether the slot is one of them.
    #[inline(always)]
    pub const fn contains(&self, slot: u32) -> bool {
        slot.wrapping_sub(self.first) < self.count
    }
}

const LABEL: usize = 63;

/// Value of NAMES: who a service id is, so that the CLI and a restarted agent need nobody else. 196 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(C)]
pub struct ServiceName {
    namespace: [u8; LABEL],
    name: [u8; LABEL],
    port: [u8; LABEL],
    lengths: [u8; 3],
    /// Transport protocol.
    pub proto: Proto,
    family: u8,
    zero: [u8; 2],
}

impl ServiceName {
    /// A service port's key (S4) in one family. `None` if a name is longer than the 63 bytes of a DNS label.
    pub fn new(namespace: &str, name: &str, port: &str, proto: Proto, family: Family) -> Option<Self> {
        let mut value = Self { proto, family: family as u8, ..Self::zeroed() };
        for (field, text, length) in
            [(&mut value.namespace, namespace, 0), (&mut value.name, name, 1), (&mut value.port, port, 2)]
        {
            field.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
            value.lengths[length] = text.len() as u8;
        }
        Some(value)
    }

    /// The Service's namespace.
    pub fn namespace(&self) -> &str {
        text(&self.namespace, self.lengths[0])
    }

    /// The Service's name.
    pub fn name(&self) -> &str {
        text(&self.name, self.lengths[1])
    }

    /// The port's name; empty for an unnamed port.
    pub fn port(&self) -> &str {
        text(&self.port, self.lengths[2])
    }

    /// The address family.
    pub fn family(&self) -> Family {
        if self.family == Family::V4 as u8 { Family::V4 } else { Family::V6 }
    }
}

fn text(bytes: &[u8; LABEL], length: u8) -> &str {
    bytes.get(..usize::from(length)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
}

/// By what the name says alone: most of its bytes are padding.
impl core::hash::Hash for ServiceName {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        state.write(self.namespace().as_bytes());
        state.write(self.name().as_bytes());
        state.write(self.port().as_bytes());
        let [namespace, name, port] = self.lengths;
        state.write_u64(u64::from_le_bytes([namespace, name, port, self.proto.0, self.family, 0, 0, 0]));
    }
}

impl core::fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let proto = self.proto.name().unwrap_or("?");
        write!(f, "{}/{}:{} {proto} {:?}", self.namespace(), self.name(), self.port(), self.family())
    }
}

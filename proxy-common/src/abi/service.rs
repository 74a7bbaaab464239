//! Services: one id is one service port in one family; one word says which descriptor is in force.

use super::{Family, Proto};
use bytemuck::{Pod, Zeroable};

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

/// What a service port means at one moment. Immutable while a [`ServiceWord`] names it. 12 bytes.
///
/// Slots `first..first + count` never change while it is in force. What is left of `room` names, for the agent and the CLI
/// alone, the service's other backends, which only keep the flows they have; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Descriptor {
    /// First slot of the set that new connections choose from.
    pub first: u32,
    /// Number of slots; 0 = reject (S21).
    pub count: u32,
    /// Number of slots that belong to the service: 0 or a power of two that divides `first`.
    pub room: u32,
}

const LABEL: usize = 63;

/// Value of NAMES: who a service id is, so that the CLI and a restarted agent need nobody else. 196 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
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

impl core::fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let proto = self.proto.name().unwrap_or("?");
        write!(f, "{}/{}:{} {proto} {:?}", self.namespace(), self.name(), self.port(), self.family())
    }
}

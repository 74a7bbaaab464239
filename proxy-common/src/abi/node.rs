//! What programs must know about the node: its addresses and its devices.

use bytemuck::{Pod, Zeroable};

/// Value of NODE_ADDRESSES; the key is an [`super::Addr`] assigned to a device of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct AddressFlags(pub u32);

impl AddressFlags {
    /// The address belongs to this node.
    pub const LOCAL: Self = Self(1);
    /// NodePorts are served at the address (S39).
    pub const NODE_PORT: Self = Self(1 << 1);
    /// NodePorts are served at the address for processes of this node alone (S40).
    pub const LOOPBACK: Self = Self(1 << 2);

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
}

/// Value of DEVICES; the key is a device's index (u32).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct DeviceFlags(pub u32);

impl DeviceFlags {
    /// Frames may be redirected to the device from XDP.
    pub const XDP_TARGET: Self = Self(1);
    /// What comes in by the device is a local pod's ([`super::Masquerade::BY_DEVICE`]).
    pub const LOCAL_PODS: Self = Self(1 << 1);

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

    /// These bits without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Value of PROGRAM_STATE, one per CPU: what the packet programs count for themselves. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct ProgramState {
    /// Goes up by one with each source port that is tried in order.
    pub cursor: u32,
    /// Goes up by one with each random number that is drawn from a seed.
    pub draws: u32,
}

/// Value of ICMP_TOKENS, one per CPU: a token bucket. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Bucket {
    /// Thousandths of tokens.
    pub tokens: u32,
    /// When it was last filled: milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
    pub filled: u32,
}

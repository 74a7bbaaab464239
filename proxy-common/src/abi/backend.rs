//! Backends: an address that never changes while its generation stands, and a state word beside it that does.

use super::{Addr, Port};
use bytemuck::{Pod, Zeroable};

/// Index into BACKENDS and BACKEND_STATES; 0 is no backend, and its state is the last [`Generation`] that was given out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct BackendId(pub u32);

/// Tells the users of a backend id apart over time; 0 is *retired*.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Generation(pub u32);

/// One endpoint of one service port. Immutable while `generation` stands. 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Backend {
    /// The endpoint's address.
    pub addr: Addr,
    /// The endpoint's port.
    pub port: Port,
    /// What else is known of it.
    pub flags: BackendFlags,
    /// Which user of the id this is.
    pub generation: Generation,
}

/// Facts about a backend that last as long as it does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct BackendFlags(pub u16);

impl BackendFlags {
    /// The endpoint runs on this node (S8).
    pub const LOCAL: Self = Self(1);

    /// Whether the endpoint runs on this node.
    #[inline(always)]
    pub const fn is_local(self) -> bool {
        self.0 & Self::LOCAL.0 != 0
    }
}

/// The only part of a backend that changes in place; bits are set before the flip that brings a backend in and cleared after
/// the flip that takes it out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct BackendState(pub u32);

impl BackendState {
    /// The endpoint serves, if only its old clients (S7, S46).
    pub const SERVING: Self = Self(1);
    /// The endpoint is in the Cluster set (S16).
    pub const IN_CLUSTER: Self = Self(1 << 1);
    /// The endpoint is in the Local set (S17).
    pub const IN_LOCAL: Self = Self(1 << 2);
    /// Both sets.
    pub const IN_BOTH: Self = Self(Self::IN_CLUSTER.0 | Self::IN_LOCAL.0);

    /// Whether the endpoint serves.
    #[inline(always)]
    pub const fn is_serving(self) -> bool {
        self.0 & Self::SERVING.0 != 0
    }

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The sets that the endpoint is in, alone.
    #[must_use]
    pub const fn sets(self) -> Self {
        Self(self.0 & Self::IN_BOTH.0)
    }

    /// Whether new connections may choose the endpoint at all.
    pub const fn is_chosen(self) -> bool {
        self.sets().0 != 0
    }

    /// `self` if `condition` holds, else nothing.
    #[must_use]
    pub const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self(0) }
    }

    /// Both states.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

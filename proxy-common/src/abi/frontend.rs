//! Frontends: what clients dial.

use super::{Addr, Port, Proto, ServiceId};
use bytemuck::{Pod, Zeroable};

/// Key of FRONTENDS. NodePorts stand once per family, under [`Addr::ANY_V4`] and [`Addr::ANY_V6`]. 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct FrontendKey {
    /// The address that clients dial.
    pub addr: Addr,
    /// The port that clients dial.
    pub port: Port,
    /// The transport protocol.
    pub proto: Proto,
    zero: u8,
}

/// Value of FRONTENDS. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Frontend {
    /// The service port behind it.
    pub service: ServiceId,
    /// What kind of address it is.
    pub kind: FrontendKind,
}

/// The kinds of frontend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub struct FrontendKind(pub u32);

impl FrontendKind {
    /// A ClusterIP.
    pub const CLUSTER_IP: Self = Self(1);
    /// A NodePort, on every address that NODE_ADDRESSES flags for it.
    pub const NODE_PORT: Self = Self(2);

    /// The name that operators read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CLUSTER_IP => "ClusterIP",
            Self::NODE_PORT => "NodePort",
            _ => "unknown",
        }
    }
}

impl FrontendKey {
    /// A key from its parts.
    #[inline(always)]
    pub const fn new(addr: Addr, port: Port, proto: Proto) -> Self {
        Self { addr, port, proto, zero: 0 }
    }
}

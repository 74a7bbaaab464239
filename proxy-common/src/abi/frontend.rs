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
    /// One of a Service's externalIPs (S41).
    pub const EXTERNAL_IP: Self = Self(3);
    /// An address of a Service's load balancer (S12).
    pub const LOAD_BALANCER: Self = Self(4);
    /// All ports and protocols of a ClusterIP that are no service ports, under [`FrontendKey::rest_of`] (S25).
    pub const CLUSTER_REST: Self = Self(5);

    /// The name that operators read.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CLUSTER_IP | Self::CLUSTER_REST => "ClusterIP",
            Self::NODE_PORT => "NodePort",
            Self::EXTERNAL_IP => "ExternalIP",
            Self::LOAD_BALANCER => "LoadBalancer",
            _ => "unknown",
        }
    }
}

impl FrontendKind {
    /// Whether it is dialled from outside (S15).
    #[inline(always)]
    pub const fn is_external(self) -> bool {
        !matches!(self, Self::CLUSTER_IP | Self::CLUSTER_REST)
    }
}

impl FrontendKey {
    /// The key of all ports and protocols of an address that have no key of their own.
    #[inline(always)]
    pub const fn rest_of(addr: Addr) -> Self {
        Self::new(addr, Port::new(0), Proto(0))
    }

    /// A key from its parts.
    #[inline(always)]
    pub const fn new(addr: Addr, port: Port, proto: Proto) -> Self {
        Self { addr, port, proto, zero: 0 }
    }
}

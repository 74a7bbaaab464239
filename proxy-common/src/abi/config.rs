//! CONFIG: one mapped value with what programs must know of the node and of the agent's settings.

use super::Addr;
use super::version::TRANSLATED_MARK;
use bytemuck::{Pod, Zeroable};

/// How many ServiceCIDRs there may be.
pub const SERVICE_CIDRS: usize = 8;

/// How many ranges of source ports there may be.
pub const PORT_RANGES: usize = 8;

/// The value of CONFIG (a mapped array of one). Fields are read one at a time; the agent changes `epoch` alone while traffic
/// flows, and everything else field by field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Config {
    /// [`super::ABI_VERSION`] of the agent that wrote the tables.
    pub abi: u32,
    /// Raised on each change of routes, neighbours or DEVICES: a [`super::NextHop`] of an older epoch is asked for again.
    pub epoch: u32,
    /// Cookie of the network namespace in which the agent runs: callers there are processes of this node.
    pub netns: u64,
    /// Sources that need no masquerade towards a ClusterIP, per family (IPv4, IPv6); a mask of zero bits and
    /// [`Cidr::is_set`] false = no detector (S29, S38).
    pub cluster_cidrs: [Cidr; 2],
    /// Ranges of ports for translated sources.
    pub ports: [PortRange; PORT_RANGES],
    /// Sum of the ranges' lengths.
    pub port_count: u32,
    /// Not zero: a source port is also looked up among this node's sockets before it is taken.
    pub check_sockets: u32,
    /// ICMP errors that a CPU may send in a second.
    pub icmp_per_second: u32,
    /// What is masqueraded beyond need, and how local pods are told.
    pub masquerade: Masquerade,
    /// Number of ServiceCIDRs; 0 = none is known, and nothing is looked up in them.
    pub service_cidr_count: u32,
    /// ServiceCIDRs: what lies in one and is no Service's is dropped (S26).
    pub service_cidrs: [Cidr; SERVICE_CIDRS],
    /// The node's primary addresses, per family (IPv4, IPv6); unspecified where none is known. What a process of this node dials
    /// without a source address of its own counts as coming from there (S24).
    pub primary: [Addr; 2],
    /// Zero.
    pub zero: u32,
}

impl Config {
    /// Value of XDP metadata that marks a packet as translated at this device of this node: tc passes it on there. The mark stays
    /// with the packet, so it says where: a pod may be a node itself, or send the packet back.
    #[inline(always)]
    pub const fn mark(&self, device: u32) -> u32 {
        TRANSLATED_MARK ^ self.netns as u32 ^ device.rotate_left(16)
    }
}

/// What is masqueraded beyond what could not be answered otherwise (S29, S30), and how local pods are told from others (S38).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct Masquerade(pub u32);

/// A prefix: address and mask, both in the layout of [`Addr`]. 36 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Cidr {
    addr: [u32; 4],
    mask: [u32; 4],
    set: u32,
}

/// Consecutive ports. 4 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct PortRange {
    /// First port's number, host order.
    pub first: u16,
    /// Number of ports.
    pub count: u16,
}

impl Masquerade {
    /// Everything to a ClusterIP: `masqueradeAll`.
    pub const ALL: Self = Self(1);
    /// Everything from outside: `masqueradeExternal: always`.
    pub const EXTERNAL: Self = Self(1 << 1);
    /// Local pods are told by the device that their packets come in by ([`super::DeviceFlags::LOCAL_PODS`]), not by
    /// [`Config::cluster_cidrs`].
    pub const BY_DEVICE: Self = Self(1 << 2);

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

impl Cidr {
    /// No prefix.
    pub const NONE: Self = Self { addr: [0; 4], mask: [0; 4], set: 0 };

    /// The prefix of `bits` bits (counted in the 128 of the v4-mapped form) around `addr`.
    pub fn new(addr: Addr, bits: u8) -> Self {
        let mask = if bits == 0 { 0 } else { u128::MAX << (128 - u32::from(bits.min(128))) };
        let mask: [u32; 4] = bytemuck::cast(mask.to_be_bytes());
        let words = addr.as_words();
        Self { addr: core::array::from_fn(|i| words[i] & mask[i]), mask, set: 1 }
    }

    /// Whether there is a prefix at all.
    #[inline(always)]
    pub const fn is_set(&self) -> bool {
        self.set != 0
    }

    /// Whether `addr` lies in the prefix.
    #[inline(always)]
    pub const fn contains(&self, addr: &Addr) -> bool {
        let words = addr.as_words();
        (words[0] & self.mask[0]) == self.addr[0]
            && (words[1] & self.mask[1]) == self.addr[1]
            && (words[2] & self.mask[2]) == self.addr[2]
            && (words[3] & self.mask[3]) == self.addr[3]
    }
}

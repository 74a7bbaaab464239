//! Flows that are no connections: two entries each, made and moved by the kernel's programs, expired by the agent.

use super::{Addr, BackendId, Connection, End, Generation, ServiceId, Tuple};
use bytemuck::{Pod, Zeroable};

/// Value of the flow tables; the key is the [`Tuple`] as packets arrive with it. 104 bytes.
///
/// Each entry is written only by packets of its own direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Flow {
    /// What the packet's tuple becomes.
    pub to: Tuple,
    /// The service port that was dialled.
    pub service: ServiceId,
    /// The backend that was chosen.
    pub backend: BackendId,
    /// Its generation at that time.
    pub generation: Generation,
    /// What the flow is and how far it has come.
    pub flags: FlowFlags,
    /// Time of the last packet: milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
    pub seen: u32,
    /// When the other entry was last found in place: same clock.
    pub checked: u32,
    /// Where translated packets go, if not up the stack.
    pub hop: NextHop,
}

/// A route's answer, kept with a flow. 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct NextHop {
    /// The neighbour's address.
    pub gateway: Addr,
    /// Index of the device to send from; 0 = unknown.
    pub device: u32,
    /// The epoch of [`super::Config`] in which this was found out.
    pub epoch: u32,
    /// The neighbour's and the device's link addresses, in the order of an Ethernet header; zero = unknown.
    pub link: [u16; 6],
    /// The family of `gateway`, which may differ from the packet's: 2 or 10, as in AF_INET and AF_INET6.
    pub family: u16,
    /// Not zero: XDP can send a frame there by itself, the link addresses being known and the device an XDP_TARGET.
    pub by_xdp: u16,
}

impl NextHop {
    /// Nothing known.
    pub const NONE: Self = Self { gateway: Addr::ANY_V6, device: 0, epoch: 0, link: [0; 6], family: 0, by_xdp: 0 };

    /// Whether both link addresses are known.
    #[inline(always)]
    pub fn has_link(&self) -> bool {
        self.link[0] | self.link[1] | self.link[2] != 0
    }
}

/// Bits of a flow entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct FlowFlags(pub u32);

impl FlowFlags {
    /// The entry of the client's packets; without it, the entry of the replies.
    pub const FORWARD: Self = Self(1);
    /// Source and destination are translated, and packets are redirected rather than passed up the stack.
    pub const MASQUERADE: Self = Self(1 << 1);
    /// The client came in at a device's egress: it is a process of this node.
    pub const FROM_NODE: Self = Self(1 << 2);
    /// A packet of this direction was seen (set on a reply entry by the first answer).
    pub const ANSWERED: Self = Self(1 << 3);
    /// A TCP FIN of this direction was seen.
    pub const FIN: Self = Self(1 << 4);
    /// A TCP RST of this direction was seen.
    pub const RST: Self = Self(1 << 5);
    /// The client has answered the reply; stands in the client's entry alone.
    pub const ESTABLISHED: Self = Self(1 << 6);

    /// One side has begun to end the flow.
    pub const CLOSING: Self = Self::FIN.with(Self::RST);

    /// Whether a TCP flow is over: both sides have ended it, or one has aborted it.
    #[inline(always)]
    pub const fn are_over(client: Self, reply: Self) -> bool {
        client.with(reply).has(Self::RST) || (client.has(Self::FIN) && reply.has(Self::FIN))
    }

    /// Whether packets of the entry are redirected rather than passed on.
    #[inline(always)]
    pub const fn redirects(self) -> bool {
        self.has(Self::MASQUERADE) || self.has(Self::FORWARD.with(Self::FROM_NODE))
    }

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[inline(always)]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[inline(always)]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These bits without those of `other`.
    #[inline(always)]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Value of FLOW_ROOM, one for each class of flows: who may stand in its table, or be a connection. 64 bytes, so that no two share a cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct FlowRoom {
    /// Flows in the table, and connections, that are not established, in two's complement. Programs add and subtract; the agent puts right what
    /// races between CPUs leave over.
    pub embryonic: u64,
    /// How many of them there may be; more go to the spill.
    pub quota: u32,
    /// When a flow last went to the spill: milliseconds of CLOCK_MONOTONIC_COARSE, never 0; 0 = the spill is empty, and nobody
    /// looks there.
    pub spilled: u32,
    /// Zero.
    pub zero: [u64; 6],
}

impl FlowRoom {
    /// Whether the table takes another flow that is not established.
    #[inline(always)]
    pub const fn takes(&self) -> bool {
        (self.embryonic as i64) < self.quota as i64
    }

    /// Whether there may be flows in the spill.
    #[inline(always)]
    pub const fn spills(&self) -> bool {
        self.spilled != 0
    }
}

/// Value of SCRATCH, one per CPU: what a packet program works on beside its small stack. 360 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Scratch {
    /// The tuple that the packet shall have.
    pub to: Tuple,
    /// Where the packet goes, if not up the stack.
    pub hop: NextHop,
    /// The client's end of a TCP packet's connection, if it belongs to one.
    pub client: End,
    /// A connection in the making.
    pub connection: Connection,
    /// A flow entry in the making.
    pub flow: Flow,
    /// The reply's key.
    pub reply: Tuple,
    /// The client's key of a flow that may have to make room.
    pub victim: Tuple,
    /// Since when that flow has been silent.
    pub victim_seen: u32,
    /// That flow's port, as it lies on the wire; [`Scratch::NO_VICTIM`] = none was met.
    pub victim_port: u32,
}

impl Scratch {
    /// No flow was met that could make room.
    pub const NO_VICTIM: u32 = u32::MAX;
}

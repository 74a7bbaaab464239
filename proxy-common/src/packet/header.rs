//! Headers as they lie on the wire; multi-byte fields are in network order.

use crate::abi::Addr;
use bytemuck::{Pod, Zeroable};

/// Offset of the network header.
pub const L3: usize = size_of::<Ethernet>();

/// Ethernet II header. 14 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Ethernet {
    /// Destination and source address, as three words each.
    pub link: [u16; 6],
    /// EtherType.
    pub ether_type: u16,
}

/// IPv4 header without options (RFC 791). 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Ipv4 {
    /// Version and header length.
    pub version_ihl: u8,
    /// Type of service.
    pub tos: u8,
    /// Length of header and payload.
    pub total_length: u16,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: u8,
    /// Header checksum.
    pub checksum: u16,
    /// Source address.
    pub src: u32,
    /// Destination address.
    pub dst: u32,
}

/// IPv6 header (RFC 8200). 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Ipv6 {
    /// Version, traffic class and flow label.
    pub version_class_flow: u32,
    /// Length of the payload.
    pub payload_length: u16,
    /// Protocol of the payload, or an extension header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: [u32; 4],
    /// Destination address.
    pub dst: [u32; 4],
}

/// The first half of a transport header: ports, and for UDP length and checksum. 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Udp {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Length of header and payload.
    pub length: u16,
    /// Checksum; zero = none.
    pub checksum: u16,
}

/// A network header and the ports behind it: all that a translation writes but for the transport checksum, in one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Ipv4Ports {
    /// The network header.
    pub ip: Ipv4,
    /// Source and destination port.
    pub ports: u32,
}

/// The same of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Ipv6Ports {
    /// The network header.
    pub ip: Ipv6,
    /// Source and destination port.
    pub ports: u32,
}

/// TCP header without options (RFC 9293). 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Tcp {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// Header length, in the upper half.
    pub offset: u8,
    /// Control bits.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Checksum.
    pub checksum: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

/// ICMP and ICMPv6 error header (RFC 792, RFC 4443). 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum.
    pub checksum: u16,
    /// Unused.
    pub rest: u32,
}

/// TCP control bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    const FIN: u8 = 1;
    const SYN: u8 = 1 << 1;
    const RST: u8 = 1 << 2;
    const ACK: u8 = 1 << 4;

    /// Whether the segment opens a connection.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) == Self::SYN
    }

    /// Whether the segment agrees to open a connection.
    #[inline(always)]
    pub const fn accepts(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::RST) == Self::SYN | Self::ACK
    }

    /// Whether the segment ends its sender's direction.
    #[inline(always)]
    pub const fn is_fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// Whether the segment aborts the connection.
    #[inline(always)]
    pub const fn is_rst(self) -> bool {
        self.0 & Self::RST != 0
    }
}

impl Ipv4 {
    /// Protocol, source and destination in the common layout.
    #[inline(always)]
    pub const fn addrs(&self) -> (Addr, Addr) {
        (Addr::v4_word(self.src), Addr::v4_word(self.dst))
    }
}

impl Ipv6 {
    /// Source and destination in the common layout.
    #[inline(always)]
    pub const fn addrs(&self) -> (Addr, Addr) {
        (Addr::v6_words(self.src), Addr::v6_words(self.dst))
    }
}

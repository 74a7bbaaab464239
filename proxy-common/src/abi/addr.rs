//! Addresses, ports and tuples. IPv4 is v4-mapped; a word holds the bytes of the wire as they lie in memory.

use bytemuck::{Pod, Zeroable};
use core::cmp::Ordering;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv6 address, or an IPv4 address as `::ffff:a.b.c.d`; 16 bytes in network order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Addr {
    words: [u32; 4],
}

/// The two address families.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A transport port in network order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Port(u16);

/// An IP protocol number (IANA).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(transparent)]
pub struct Proto(pub u8);

/// Source, destination and protocol of a packet: the key of a flow. 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Tuple {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source port.
    pub sport: Port,
    /// Destination port.
    pub dport: Port,
    /// Transport protocol.
    pub proto: Proto,
    zero: u8,
    zeros: u16,
}

const INTEREST_BITS: u32 = 17;
/// Length of a field of INTEREST, in bytes: with 10,000 frontends, 7 addresses of 100 look like one.
pub const INTEREST_LEN: usize = 1 << INTEREST_BITS;
/// Index of the field of INTEREST that the agent writes: addresses that are dialled, and the node's own.
pub const INTEREST_DIALLED: u32 = 0;
/// Bit of a byte of that field: clients dial an address with this hash.
pub const INTEREST_FRONTEND: u8 = 1;
/// Bit of a byte of that field: this node has an address with this hash.
pub const INTEREST_NODE: u8 = 1 << 1;
/// Index of the field of INTEREST that programs write: addresses that answer flows whose source is not translated.
pub const INTEREST_ANSWERS: u32 = 1;

const V4_PREFIX: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

impl Addr {
    /// `::ffff:0.0.0.0`: under this address the NodePorts of IPv4 are stored.
    pub const ANY_V4: Self = Self::v4_word(0);
    /// `::`: under this address the NodePorts of IPv6 are stored.
    pub const ANY_V6: Self = Self { words: [0; 4] };

    /// The IPv4 address whose four bytes of the wire are `word` as it lies in memory.
    #[inline(always)]
    pub const fn v4_word(word: u32) -> Self {
        Self { words: [0, 0, V4_PREFIX, word] }
    }

    /// The IPv6 address whose bytes of the wire are `words` as they lie in memory.
    #[inline(always)]
    pub const fn v6_words(words: [u32; 4]) -> Self {
        Self { words }
    }

    /// The four bytes of an IPv4 address as one word, as they lie in memory.
    #[inline(always)]
    pub const fn as_v4_word(&self) -> u32 {
        self.words[3]
    }

    /// The sixteen bytes as four words, as they lie in memory.
    #[inline(always)]
    pub const fn as_words(&self) -> [u32; 4] {
        self.words
    }

    /// Whether this is an IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == V4_PREFIX
    }

    /// Whether this is `0.0.0.0` or `::`.
    #[inline(always)]
    pub const fn is_unspecified(&self) -> bool {
        let [a, b, c, d] = self.words;
        a == 0 && b == 0 && d == 0 && (c == 0 || c == V4_PREFIX)
    }

    /// The family of the address.
    #[inline(always)]
    pub const fn family(&self) -> Family {
        if self.is_v4() { Family::V4 } else { Family::V6 }
    }

    /// The address's place in each of the fields of INTEREST (multiplicative hashing, Knuth 6.4).
    #[inline(always)]
    pub const fn interest(&self) -> u32 {
        let [a, b, c, d] = self.words;
        let mixed = d ^ c.rotate_left(7) ^ b.rotate_left(14) ^ a.rotate_left(21);
        mixed.wrapping_mul(0x9e37_79b1) >> (u32::BITS - INTEREST_BITS)
    }

    /// The address under which NodePorts of this address's family are stored.
    #[inline(always)]
    pub const fn any(&self) -> Self {
        if self.is_v4() { Self::ANY_V4 } else { Self::ANY_V6 }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::v4_word(u32::from_ne_bytes(v4.octets())),
            IpAddr::V6(v6) => Self { words: bytemuck::cast(v6.octets()) },
        }
    }
}

impl From<Addr> for IpAddr {
    fn from(addr: Addr) -> Self {
        let octets: [u8; 16] = bytemuck::cast(addr.words);
        if addr.is_v4() {
            Self::V4(Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]))
        } else {
            Self::V6(Ipv6Addr::from(octets))
        }
    }
}

/// In the order of the numbers that the bytes of the wire are.
impl Ord for Addr {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let number = |addr: &Self| u128::from_be_bytes(bytemuck::cast(addr.words));
        number(self).cmp(&number(other))
    }
}

impl PartialOrd for Addr {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Port {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Port {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl core::fmt::Debug for Addr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

impl core::fmt::Display for Addr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

impl Family {
    /// The address under which NodePorts of the family are stored.
    pub const fn any(self) -> Addr {
        match self {
            Self::V4 => Addr::ANY_V4,
            Self::V6 => Addr::ANY_V6,
        }
    }
}

impl Port {
    /// The port with this number.
    #[inline(always)]
    pub const fn new(number: u16) -> Self {
        Self(number.to_be())
    }

    /// The port whose two bytes of the wire are `word` as it lies in memory.
    #[inline(always)]
    pub const fn from_wire(word: u16) -> Self {
        Self(word)
    }

    /// The two bytes of the wire as they lie in memory.
    #[inline(always)]
    pub const fn to_wire(self) -> u16 {
        self.0
    }

    /// The port's number.
    #[inline(always)]
    pub const fn number(self) -> u16 {
        u16::from_be(self.0)
    }
}

impl core::fmt::Debug for Port {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl core::fmt::Display for Port {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.number())
    }
}

impl Proto {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMP_V6: Self = Self(58);

    /// The name that Kubernetes writes, or `None` for a protocol that no Service has.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::TCP => Some("TCP"),
            Self::UDP => Some("UDP"),
            _ => None,
        }
    }
}

impl Tuple {
    /// A tuple from its parts.
    #[inline(always)]
    pub const fn new(src: Addr, sport: Port, dst: Addr, dport: Port, proto: Proto) -> Self {
        Self { src, dst, sport, dport, proto, zero: 0, zeros: 0 }
    }

    /// The tuple of packets in the other direction.
    #[inline(always)]
    pub const fn reversed(&self) -> Self {
        Self::new(self.dst, self.dport, self.src, self.sport, self.proto)
    }

    /// Writes the tuple of packets in the other direction, without a copy in between.
    #[inline(always)]
    pub const fn reverse_into(&self, out: &mut Self) {
        out.src = self.dst;
        out.dst = self.src;
        out.sport = self.dport;
        out.dport = self.sport;
        out.proto = self.proto;
        out.zero = 0;
        out.zeros = 0;
    }
}

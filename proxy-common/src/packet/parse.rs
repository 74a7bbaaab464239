//! From a frame to its tuple. What is not plain TCP or UDP over plain IP is left to the stack, with a reason.

use super::Packet;
use super::header::{Ethernet, Ipv4, Ipv6, L3, Tcp, TcpFlags, Udp};
use crate::abi::{Addr, Family, Port, Proto, Reason, Tuple};

/// EtherType of IPv4, as the word lies in memory.
pub const ETHER_V4: u16 = 0x0800_u16.to_be();
/// EtherType of IPv6, as the word lies in memory.
pub(super) const ETHER_V6: u16 = 0x86dd_u16.to_be();
const VERSION_4_NO_OPTIONS: u8 = 0x45;
const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff_u16.to_be();
const VERSION_MASK: u32 = 0xf000_0000_u32.to_be();
const VERSION_6: u32 = 0x6000_0000_u32.to_be();
const IPV6_FRAGMENT: u8 = 44;

/// What a frame says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed {
    /// Addresses, ports and protocol.
    pub tuple: Tuple,
    /// Family of the network header.
    pub family: Family,
    /// TCP's control bits; zero for UDP.
    pub tcp: TcpFlags,
    /// Time to live or hop limit.
    pub hop_limit: u8,
}

impl Parsed {
    /// Offset of the transport header.
    #[inline(always)]
    pub const fn transport(&self) -> usize {
        transport(self.family)
    }
}

/// Offset of the transport header behind a plain network header.
#[inline(always)]
pub(super) const fn transport(family: Family) -> usize {
    match family {
        Family::V4 => L3 + size_of::<Ipv4>(),
        Family::V6 => L3 + size_of::<Ipv6>(),
    }
}

/// Reads a frame's headers.
///
/// # Errors
/// The reason for which the frame is left to the stack: [`Reason::Untouched`] (not IP, or neither TCP nor UDP),
/// [`Reason::Fragment`], [`Reason::Unparsed`].
#[inline(always)]
pub fn parse<P: Packet>(packet: &P) -> Result<Parsed, Reason> {
    let ethernet: Ethernet = packet.load(0).ok_or(Reason::Unparsed)?;
    match ethernet.ether_type {
        ETHER_V4 => parse_v4(packet),
        ETHER_V6 => parse_v6(packet),
        _ => Err(Reason::Untouched),
    }
}

#[inline(always)]
fn parse_v4<P: Packet>(packet: &P) -> Result<Parsed, Reason> {
    let ip: Ipv4 = packet.load(L3).ok_or(Reason::Unparsed)?;
    let proto = transport_of(ip.proto)?;
    if ip.fragment & MORE_FRAGMENTS_OR_OFFSET != 0 {
        return Err(Reason::Fragment);
    }
    if ip.version_ihl != VERSION_4_NO_OPTIONS {
        return Err(Reason::Unparsed);
    }
    parse_transport(packet, Family::V4, ip.addrs(), proto, ip.ttl)
}

#[inline(always)]
fn parse_v6<P: Packet>(packet: &P) -> Result<Parsed, Reason> {
    let ip: Ipv6 = packet.load(L3).ok_or(Reason::Unparsed)?;
    if ip.version_class_flow & VERSION_MASK != VERSION_6 {
        return Err(Reason::Unparsed);
    }
    if ip.next_header == IPV6_FRAGMENT {
        return Err(Reason::Fragment);
    }
    let proto = transport_of(ip.next_header)?;
    let (src, dst) = ip.addrs();
    // On a wire these are nobody's (RFC 6890, 2.2.3); tables name IPv4 by them.
    if src.is_v4() || dst.is_v4() {
        return Err(Reason::Unparsed);
    }
    parse_transport(packet, Family::V6, (src, dst), proto, ip.hop_limit)
}

#[inline(always)]
fn transport_of(number: u8) -> Result<Proto, Reason> {
    match Proto(number) {
        proto @ (Proto::TCP | Proto::UDP) => Ok(proto),
        Proto(0 | 43 | 51 | 60 | 135) => Err(Reason::Unparsed),
        _ => Err(Reason::Untouched),
    }
}

#[inline(always)]
fn parse_transport<P: Packet>(
    packet: &P,
    family: Family,
    (src, dst): (Addr, Addr),
    proto: Proto,
    hop_limit: u8,
) -> Result<Parsed, Reason> {
    let offset = transport(family);
    let (sport, dport, tcp) = if proto == Proto::TCP {
        let tcp: Tcp = packet.load(offset).ok_or(Reason::Unparsed)?;
        (tcp.sport, tcp.dport, TcpFlags(tcp.flags))
    } else {
        let udp: Udp = packet.load(offset).ok_or(Reason::Unparsed)?;
        (udp.sport, udp.dport, TcpFlags::default())
    };
    let tuple = Tuple::new(src, Port::from_wire(sport), dst, Port::from_wire(dport), proto);
    Ok(Parsed { tuple, family, tcp, hop_limit })
}

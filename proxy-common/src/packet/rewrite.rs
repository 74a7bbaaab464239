//! Writes a tuple into a frame and keeps every checksum right.

use super::header::{Ethernet, Ipv4, Ipv4Ports, Ipv6, Ipv6Ports, L3, Tcp, Udp};
use super::{Change, Packet, Parsed, Sum};
use crate::abi::{Family, NextHop, Proto, Tuple};
use core::mem::offset_of;

/// Gives the frame the addresses and ports of `to`; with `forwarded`, takes one from its hop limit as a router does.
///
/// `None` if the frame cannot be written; it may then be half written and must be dropped.
#[inline(always)]
pub fn translate<P: Packet>(packet: &mut P, parsed: &Parsed, to: &Tuple, forwarded: bool) -> Option<()> {
    let from = &parsed.tuple;
    let ports = pair(to.sport.to_wire(), to.dport.to_wire());
    let (addresses, uncovered) = match parsed.family {
        Family::V4 => (rewrite_v4(packet, from, to, ports, forwarded)?, Sum::ZERO),
        Family::V6 => rewrite_v6(packet, from, to, ports, forwarded)?,
    };
    let offset = parsed.transport();
    let change = Change {
        addresses,
        ports: Sum::ZERO.replace(pair(from.sport.to_wire(), from.dport.to_wire()), ports),
        uncovered,
        v6: parsed.family == Family::V6,
    };
    if from.proto == Proto::TCP {
        packet.update_checksum(offset + offset_of!(Tcp, checksum), change, false)
    } else {
        packet.update_checksum(offset + offset_of!(Udp, checksum), change, true)
    }
}

/// Gives the frame the link addresses of the next hop.
#[inline(always)]
pub fn link<P: Packet>(packet: &mut P, hop: &NextHop) -> Option<()> {
    packet.store(offset_of!(Ethernet, link), &hop.link)
}

#[inline(always)]
fn rewrite_v4<P: Packet>(packet: &mut P, from: &Tuple, to: &Tuple, ports: u32, forwarded: bool) -> Option<Sum> {
    let mut ip: Ipv4 = packet.load(L3)?;
    let addresses =
        Sum::ZERO.replace(from.src.as_v4_word(), to.src.as_v4_word()).replace(from.dst.as_v4_word(), to.dst.as_v4_word());
    let mut header = addresses;
    if forwarded {
        let word = pair16(ip.ttl, ip.proto);
        ip.ttl = ip.ttl.wrapping_sub(1);
        header = header.replace(u32::from(word), u32::from(pair16(ip.ttl, ip.proto)));
    }
    ip.checksum = header.update(ip.checksum);
    ip.src = to.src.as_v4_word();
    ip.dst = to.dst.as_v4_word();
    packet.store(L3, &Ipv4Ports { ip, ports })?;
    Some(addresses)
}

#[inline(always)]
fn rewrite_v6<P: Packet>(packet: &mut P, from: &Tuple, to: &Tuple, ports: u32, forwarded: bool) -> Option<(Sum, Sum)> {
    let mut ip: Ipv6 = packet.load(L3)?;
    let (old_src, old_dst) = (from.src.as_words(), from.dst.as_words());
    let mut addresses = Sum::ZERO;
    ip.src = to.src.as_words();
    ip.dst = to.dst.as_words();
    for i in 0..4 {
        addresses = addresses.replace(old_src[i], ip.src[i]).replace(old_dst[i], ip.dst[i]);
    }
    let mut hop_limit = Sum::ZERO;
    if forwarded {
        let word = pair16(ip.next_header, ip.hop_limit);
        ip.hop_limit = ip.hop_limit.wrapping_sub(1);
        hop_limit = hop_limit.replace(u32::from(word), u32::from(pair16(ip.next_header, ip.hop_limit)));
    }
    packet.store(L3, &Ipv6Ports { ip, ports })?;
    Some((addresses, hop_limit))
}

#[inline(always)]
const fn pair(first: u16, second: u16) -> u32 {
    let (first, second) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([first[0], first[1], second[0], second[1]])
}

#[inline(always)]
const fn pair16(first: u8, second: u8) -> u16 {
    u16::from_ne_bytes([first, second])
}

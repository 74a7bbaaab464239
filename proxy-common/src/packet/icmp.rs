//! Turns a frame into the error that answers it: ICMP and ICMPv6 *port unreachable* (S28; RFC 792, RFC 4443).
//!
//! A frame from a local stack may carry a *partial* transport checksum, which hardware or the kernel fills in later, inside the
//! quote too. No program can see that it is partial, so the quote's checksum field is set to the one value that filling in
//! leaves as it is: the ICMP checksum over the quote holds either way.

use super::header::{Ethernet, Icmp, Ipv4, Ipv6, L3, Tcp, Udp};
use super::parse::transport;
use super::{Packet, Parsed, Sum};
use crate::abi::{Family, Proto};
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

const V4_UNREACHABLE: (u8, u8) = (3, 3);
const V6_UNREACHABLE: (u8, u8) = (1, 4);
const HOP_LIMIT: u8 = 64;

/// Replaces the frame by a *port unreachable* to its sender, from the address that was dialled, back over the link it came
/// from. It quotes the network header and the transport header without options.
///
/// `None` if the frame cannot be written; it may then be half written and must be dropped. A function of its own, with a stack
/// of its own.
#[inline(never)]
pub fn reject<P: Packet>(packet: &mut P, parsed: &Parsed) -> Option<()> {
    let is_tcp = parsed.tuple.proto == Proto::TCP;
    let quoted = if is_tcp { size_of::<Tcp>() } else { size_of::<Udp>() };
    let (outer, network) = match parsed.family {
        Family::V4 => (size_of::<Ipv4>(), size_of::<Ipv4>()),
        Family::V6 => (size_of::<Ipv6>(), size_of::<Ipv6>()),
    };
    packet.reshape(transport(parsed.family) + quoted, outer + size_of::<Icmp>())?;
    let pseudo = match parsed.family {
        Family::V4 => write_v4(packet, parsed, network + quoted)?,
        Family::V6 => write_v6(packet, parsed, network + quoted)?,
    };
    let quote = L3 + outer + size_of::<Icmp>();
    let quote_sum = match parsed.family {
        Family::V4 => sum::<P, Ipv4, 5>(packet, quote)?,
        Family::V6 => sum::<P, Ipv6, 10>(packet, quote)?,
    };
    let transport_sum = if is_tcp {
        settle::<P, Tcp, 5>(packet, quote + network, offset_of!(Tcp, checksum))?
    } else {
        settle::<P, Udp, 2>(packet, quote + network, offset_of!(Udp, checksum))?
    };
    let (kind, code) = if parsed.family == Family::V4 { V4_UNREACHABLE } else { V6_UNREACHABLE };
    let head = Icmp { kind, code, checksum: 0, rest: 0 };
    let words: [u32; 2] = bytemuck::cast(head);
    let checksum = pseudo.add(words[0]).and(quote_sum).and(transport_sum).checksum();
    packet.store(L3 + outer, &Icmp { checksum, ..head })?;
    turn_around(packet)
}

#[inline(always)]
fn turn_around<P: Packet>(packet: &mut P) -> Option<()> {
    let ethernet: Ethernet = packet.load(0)?;
    let [a, b, c, d, e, f] = ethernet.link;
    packet.store(0, &Ethernet { link: [d, e, f, a, b, c], ..ethernet })
}

#[inline(always)]
fn write_v4<P: Packet>(packet: &mut P, parsed: &Parsed, quoted: usize) -> Option<Sum> {
    let length = (size_of::<Ipv4>() + size_of::<Icmp>() + quoted) as u16;
    let mut ip = Ipv4 {
        version_ihl: 0x45,
        total_length: length.to_be(),
        ttl: HOP_LIMIT,
        proto: Proto::ICMP.0,
        src: parsed.tuple.dst.as_v4_word(),
        dst: parsed.tuple.src.as_v4_word(),
        ..Ipv4::zeroed()
    };
    let words: [u32; 5] = bytemuck::cast(ip);
    ip.checksum = words.into_iter().fold(Sum::ZERO, Sum::add).checksum();
    packet.store(L3, &ip)?;
    Some(Sum::ZERO)
}

#[inline(always)]
fn write_v6<P: Packet>(packet: &mut P, parsed: &Parsed, quoted: usize) -> Option<Sum> {
    let (src, dst) = (parsed.tuple.dst.as_words(), parsed.tuple.src.as_words());
    let length = (size_of::<Icmp>() + quoted) as u16;
    let ip = Ipv6 {
        version_class_flow: 0x6000_0000_u32.to_be(),
        payload_length: length.to_be(),
        next_header: Proto::ICMP_V6.0,
        hop_limit: HOP_LIMIT,
        src,
        dst,
    };
    packet.store(L3, &ip)?;
    let mut pseudo = Sum::ZERO.add(u32::from(length).to_be()).add(u32::from(Proto::ICMP_V6.0).to_be());
    for i in 0..4 {
        pseudo = pseudo.add(src[i]).add(dst[i]);
    }
    Some(pseudo)
}

/// Sums a header of `WORDS` words.
#[inline(always)]
fn sum<P: Packet, T: Pod, const WORDS: usize>(packet: &P, offset: usize) -> Option<Sum> {
    let header: T = packet.load(offset)?;
    let words: [u32; WORDS] = bytemuck::cast(header);
    Some(words.into_iter().fold(Sum::ZERO, Sum::add))
}

/// Gives a quoted transport header the checksum that filling in leaves as it is, and sums the header.
#[inline(always)]
fn settle<P: Packet, T: Pod, const WORDS: usize>(packet: &mut P, offset: usize, field: usize) -> Option<Sum> {
    packet.store(offset + field, &0_u16)?;
    let rest = sum::<P, T, WORDS>(packet, offset)?;
    let settled = rest.halved_complement();
    packet.store(offset + field, &settled)?;
    Some(rest.add(u32::from(settled)))
}

//! Turns a frame into the error that answers it: ICMP and ICMPv6 *port unreachable* (S28; RFC 792, RFC 4443).

use super::header::{Ethernet, Icmp, Ipv4, Ipv6, L3};
use super::parse::transport;
use super::{Packet, Parsed, Sum};
use crate::abi::{Family, Proto};

/// How many bytes of the refused frame's transport header the error quotes: what RFC 792 asks for, and enough for the client
/// to find its socket.
pub const QUOTED: usize = 8;

const V4_UNREACHABLE: (u8, u8) = (3, 3);
const V6_UNREACHABLE: (u8, u8) = (1, 4);
const HOP_LIMIT: u8 = 64;
const V4_QUOTE: usize = size_of::<Ipv4>() + QUOTED;
const V6_QUOTE: usize = size_of::<Ipv6>() + QUOTED;

/// Replaces the frame by a *port unreachable* to its sender, from the address that was dialled, addressed back over the link
/// it came from.
///
/// `None` if the frame cannot be written; it may then be half written and must be dropped.
#[inline(always)]
pub fn reject<P: Packet>(packet: &mut P, parsed: &Parsed) -> Option<()> {
    let keep = transport(parsed.family) + QUOTED;
    match parsed.family {
        Family::V4 => {
            packet.reshape(keep, size_of::<Ipv4>() + size_of::<Icmp>())?;
            write_v4(packet, parsed)?;
        }
        Family::V6 => {
            packet.reshape(keep, size_of::<Ipv6>() + size_of::<Icmp>())?;
            write_v6(packet, parsed)?;
        }
    }
    turn_around(packet)
}

#[inline(always)]
fn turn_around<P: Packet>(packet: &mut P) -> Option<()> {
    let ethernet: Ethernet = packet.load(0)?;
    let [a, b, c, d, e, f] = ethernet.link;
    packet.store(0, &Ethernet { link: [d, e, f, a, b, c], ..ethernet })
}

#[inline(always)]
fn write_v4<P: Packet>(packet: &mut P, parsed: &Parsed) -> Option<()> {
    let (src, dst) = (parsed.tuple.dst.as_v4_word(), parsed.tuple.src.as_v4_word());
    let length = (size_of::<Ipv4>() + size_of::<Icmp>() + V4_QUOTE) as u16;
    let mut ip = Ipv4 {
        version_ihl: 0x45,
        tos: 0,
        total_length: length.to_be(),
        id: 0,
        fragment: 0,
        ttl: HOP_LIMIT,
        proto: Proto::ICMP.0,
        checksum: 0,
        src,
        dst,
    };
    let words: [u32; 5] = bytemuck::cast(ip);
    ip.checksum = words.into_iter().fold(Sum::ZERO, Sum::add).checksum();
    packet.store(L3, &ip)?;
    write_icmp::<P, { V4_QUOTE / 4 }>(packet, L3 + size_of::<Ipv4>(), V4_UNREACHABLE, Sum::ZERO)
}

#[inline(always)]
fn write_v6<P: Packet>(packet: &mut P, parsed: &Parsed) -> Option<()> {
    let (src, dst) = (parsed.tuple.dst.as_words(), parsed.tuple.src.as_words());
    let length = (size_of::<Icmp>() + V6_QUOTE) as u16;
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
    write_icmp::<P, { V6_QUOTE / 4 }>(packet, L3 + size_of::<Ipv6>(), V6_UNREACHABLE, pseudo)
}

/// Writes the ICMP header before a quote of `WORDS` words that is already in place.
#[inline(always)]
fn write_icmp<P: Packet, const WORDS: usize>(packet: &mut P, offset: usize, (kind, code): (u8, u8), pseudo: Sum) -> Option<()> {
    let mut icmp = Icmp { kind, code, checksum: 0, rest: 0 };
    let quote: [u32; WORDS] = packet.load(offset + size_of::<Icmp>())?;
    let head: [u32; 2] = bytemuck::cast(icmp);
    let mut sum = pseudo.add(head[0]);
    for word in quote {
        sum = sum.add(word);
    }
    icmp.checksum = sum.checksum();
    packet.store(offset, &icmp)
}

//! One captured frame: which packet it is, and whether its checksums hold. Ethernet with IPv4 or IPv6 inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::{is_sound, is_sound_segment};
use crate::wait::monotonic_ns;

const ICMP: u8 = 1;
/// The protocol number of TCP.
pub const TCP: u8 = 6;
/// The protocol number of UDP.
pub const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// An IPv6 extension header that the captures of these tests contain: none but fragments.
const FRAGMENT: u8 = 44;

/// Bytes of a faulty packet that are kept: all headers.
const HEAD: usize = 80;

/// A captured packet.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Sent by the host itself.
    pub sent: bool,
    /// When it was read (CLOCK_MONOTONIC, ns).
    pub at_ns: u64,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// The protocol number (6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6).
    pub protocol: u8,
    /// Source port; 0 where there is none.
    pub source_port: u16,
    /// Destination port; 0 where there is none.
    pub destination_port: u16,
    /// TCP flags (FIN 1, SYN 2, RST 4, PSH 8, ACK 16).
    pub tcp_flags: u8,
    /// Type and code of an ICMP or ICMPv6 message.
    pub icmp: Option<Icmp>,
    /// TTL or hop limit.
    pub hops: u8,
    /// The wrong checksum, if there is one.
    pub fault: Option<Fault>,
}

/// Type and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
}

/// A wrong checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub header: &'static str,
    /// How the packet's IP part begins.
    pub head: Vec<u8>,
    /// How long it is.
    pub length: usize,
}

/// Reads an Ethernet frame; none if it does not hold an IP packet.
pub fn frame(frame: &[u8]) -> Option<Seen> {
    let packet = frame.get(14..)?;
    match u16::from_be_bytes([frame[12], frame[13]]) {
        0x0800 => ipv4(packet),
        0x86dd => ipv6(packet),
        _ => None,
    }
}

fn ipv4(packet: &[u8]) -> Option<Seen> {
    let header_length = usize::from(packet.first()? & 15) * 4;
    let total = usize::from(word(packet, 2)?);
    let (header, body) = (packet.get(..header_length)?, packet.get(header_length..total)?);
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
    let fragment = word(packet, 6)? & 0x3fff != 0;
    let mut seen = base(Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into(), packet[9], packet[8]);
    let wrong = if is_sound(header) { transport(&mut seen, body, fragment) } else { Some("IPv4") };
    seen.fault = wrong.map(|header| fault(header, &packet[..total]));
    Some(seen)
}

fn ipv6(packet: &[u8]) -> Option<Seen> {
    let total = 40 + usize::from(word(packet, 4)?);
    let body = packet.get(40..total)?;
    let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
    let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
    let fragment = packet[6] == FRAGMENT;
    let mut seen = base(Ipv6Addr::from(source).into(), Ipv6Addr::from(destination).into(), packet[6], packet[7]);
    let wrong = transport(&mut seen, body, fragment);
    seen.fault = wrong.map(|header| fault(header, &packet[..total]));
    Some(seen)
}

fn fault(header: &'static str, packet: &[u8]) -> Fault {
    Fault { header, head: packet[..packet.len().min(HEAD)].to_vec(), length: packet.len() }
}

fn base(source: IpAddr, destination: IpAddr, protocol: u8, hops: u8) -> Seen {
    let (source_port, destination_port, tcp_flags) = (0, 0, 0);
    let (sent, at_ns, icmp, fault) = (false, monotonic_ns(), None, None);
    Seen { sent, at_ns, source, destination, protocol, source_port, destination_port, tcp_flags, icmp, hops, fault }
}

/// Reads ports or type and code, and names the checksum that is wrong.
fn transport(seen: &mut Seen, body: &[u8], fragment: bool) -> Option<&'static str> {
    match seen.protocol {
        TCP | UDP => {
            (seen.source_port, seen.destination_port) = (word(body, 0)?, word(body, 2)?);
        }
        ICMP | ICMPV6 => seen.icmp = Some(Icmp { kind: *body.first()?, code: *body.get(1)? }),
        _ => return None,
    }
    if seen.protocol == TCP {
        seen.tcp_flags = *body.get(13)?;
    }
    if fragment {
        return None;
    }
    let (sound, name) = match seen.protocol {
        ICMP => (is_sound(body), "ICMP"),
        // RFC 768: zero means that the sender made none; RFC 8200 forbids that over IPv6.
        UDP if seen.source.is_ipv4() && word(body, 6)? == 0 => (true, "UDP"),
        TCP => (segment(seen, body), "TCP"),
        UDP => (segment(seen, body), "UDP"),
        _ => (segment(seen, body), "ICMPv6"),
    };
    (!sound).then_some(name)
}

fn segment(seen: &Seen, body: &[u8]) -> bool {
    is_sound_segment(seen.source, seen.destination, seen.protocol, body)
}

fn word(bytes: &[u8], place: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(place)?, *bytes.get(place + 1)?]))
}

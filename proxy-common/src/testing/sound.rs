//! Whether a frame's lengths and checksums are right, each computed anew over all that it covers.

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

/// The Internet checksum's sum (RFC 1071) over big-endian words; an odd last byte counts as the upper half of one.
pub fn internet_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// What is wrong with the frame; `None` if nothing is.
pub fn flaw(frame: &[u8]) -> Option<&'static str> {
    let (Some(kind), Some(packet)) = (frame.get(12..14), frame.get(14..)) else { return Some("no link header") };
    match kind {
        [0x08, 0x00] => flaw_v4(packet),
        [0x86, 0xdd] => flaw_v6(packet),
        _ => Some("not IP"),
    }
}

fn flaw_v4(packet: &[u8]) -> Option<&'static str> {
    let (Some(header), Some(body)) = (packet.get(..20), packet.get(20..)) else { return Some("no IPv4 header") };
    if header[0] != 0x45 {
        return Some("IPv4 version or header length");
    }
    if usize::from(u16::from_be_bytes([header[2], header[3]])) != packet.len() {
        return Some("IPv4 length");
    }
    if internet_sum(header) != 0xffff {
        return Some("IPv4 header checksum");
    }
    let pseudo = if header[9] == ICMP { Vec::new() } else { pseudo_header(&header[12..20], body.len(), header[9]) };
    flaw_of_transport(header[9], &pseudo, body, true)
}

fn flaw_v6(packet: &[u8]) -> Option<&'static str> {
    let (Some(header), Some(body)) = (packet.get(..40), packet.get(40..)) else { return Some("no IPv6 header") };
    if header[0] >> 4 != 6 {
        return Some("IPv6 version");
    }
    if usize::from(u16::from_be_bytes([header[4], header[5]])) != body.len() {
        return Some("IPv6 length");
    }
    flaw_of_transport(header[6], &pseudo_header(&header[8..40], body.len(), header[6]), body, false)
}

fn pseudo_header(addresses: &[u8], length: usize, proto: u8) -> Vec<u8> {
    let mut bytes = addresses.to_vec();
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0, 0, 0, proto]);
    bytes
}

fn flaw_of_transport(proto: u8, pseudo: &[u8], body: &[u8], may_lack: bool) -> Option<&'static str> {
    let (minimum, name) = match proto {
        TCP => (20, "TCP checksum"),
        UDP => (8, "UDP checksum"),
        ICMP | ICMP_V6 => (8, "ICMP checksum"),
        _ => return Some("protocol"),
    };
    if body.len() < minimum {
        return Some("no transport header");
    }
    if proto == UDP && usize::from(u16::from_be_bytes([body[4], body[5]])) != body.len() {
        return Some("UDP length");
    }
    if proto == UDP && body[6..8] == [0, 0] {
        return if may_lack { None } else { Some("no UDP checksum") };
    }
    (internet_sum(&[pseudo, body].concat()) != 0xffff).then_some(name)
}

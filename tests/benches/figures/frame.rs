//! Frames of one size: Ethernet, IPv4 and TCP, with sound checksums. Pure.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Length of a frame: what the feeders write, eight words.
pub const LENGTH: usize = 64;
const L3: usize = 14;
const L4: usize = 34;
/// TCP's control bits.
pub const SYN: u8 = 0x02;
/// TCP's control bits.
pub const SYN_ACK: u8 = 0x12;
/// TCP's control bits.
pub const ACK: u8 = 0x10;

/// One frame.
pub type Frame = [u8; LENGTH];

/// A TCP segment between two addresses.
pub fn tcp(src: SocketAddrV4, dst: SocketAddrV4, flags: u8) -> Frame {
    let mut frame = [0; LENGTH];
    frame[..L3].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    frame[L3] = 0x45;
    frame[L3 + 2..L3 + 4].copy_from_slice(&((LENGTH - L3) as u16).to_be_bytes());
    frame[L3 + 8] = 64;
    frame[L3 + 9] = 6;
    frame[L3 + 12..L3 + 16].copy_from_slice(&src.ip().octets());
    frame[L3 + 16..L3 + 20].copy_from_slice(&dst.ip().octets());
    let sum = checksum(&[&frame[L3..L4]]);
    frame[L3 + 10..L3 + 12].copy_from_slice(&sum.to_be_bytes());
    frame[L4..L4 + 2].copy_from_slice(&src.port().to_be_bytes());
    frame[L4 + 2..L4 + 4].copy_from_slice(&dst.port().to_be_bytes());
    frame[L4 + 12] = 5 << 4;
    frame[L4 + 13] = flags;
    let sum = transport_sum(&frame);
    frame[L4 + 16..L4 + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// Source and destination of a frame.
pub fn ends(frame: &Frame) -> (SocketAddrV4, SocketAddrV4) {
    let ip = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    (SocketAddrV4::new(ip(L3 + 12), port(L4)), SocketAddrV4::new(ip(L3 + 16), port(L4 + 2)))
}

/// Whether both checksums of a frame are right.
pub fn is_sound(frame: &Frame) -> bool {
    checksum(&[&frame[L3..L4]]) == 0 && transport_sum(frame) == 0
}

fn transport_sum(frame: &Frame) -> u16 {
    let length = ((LENGTH - L4) as u16).to_be_bytes();
    checksum(&[&frame[L3 + 12..L3 + 20], &[0, 6], &length, &frame[L4..]])
}

/// The Internet checksum (RFC 1071) over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words =
        parts.iter().flat_map(|part| part.chunks_exact(2)).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

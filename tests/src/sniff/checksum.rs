//! The Internet checksum (RFC 1071), summed word by word as the standard defines it: an oracle that shares no code with
//! what it judges.

use std::net::IpAddr;

/// True if the bytes, their checksum field included, sum up to all ones.
pub fn is_sound(bytes: &[u8]) -> bool {
    fold(sum(bytes)) == 0xffff
}

/// True if a transport segment, its checksum field included, is sound under the pseudo header of its addresses
/// (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub fn is_sound_segment(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> bool {
    let length = sum(&(segment.len() as u32).to_be_bytes());
    let pseudo = address(source) + address(destination) + u64::from(protocol) + length;
    fold(pseudo + sum(segment)) == 0xffff
}

fn address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn fold(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{is_sound, is_sound_segment};

    /// The header of RFC 1071's common worked example.
    const HEADER: [u8; 20] = [
        0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
    ];

    #[test]
    fn a_known_header_is_sound_and_every_flipped_bit_is_noticed() {
        assert!(is_sound(&HEADER));
        for bit in 0..HEADER.len() * 8 {
            let mut broken = HEADER;
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sound(&broken), "bit {bit}");
        }
    }

    #[test]
    fn a_udp_datagram_of_odd_length_is_sound_under_its_pseudo_header() {
        let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        // Ports 1 and 2, length 9, the checksum, and one byte of data.
        let datagram = [0, 1, 0, 2, 0, 9, 0x8a, 0xd6, 0x61];
        assert!(is_sound_segment(source, destination, 17, &datagram));
        assert!(!is_sound_segment(source, [10, 0, 0, 3].into(), 17, &datagram));
    }
}

//! The refusal: a valid ICMP error to the sender, whatever the checksum of the packet that it quotes was.

use super::frames::{Buffer, frames, parsed};
use crate::packet::reject;
use crate::testing::{Frame, flaw, internet_sum};
use proptest::prelude::*;

fn refused(frame: &[u8]) -> Vec<u8> {
    let mut buffer = Buffer::new(frame);
    reject(&mut buffer, &parsed(frame)).expect("a whole frame");
    buffer.as_slice().to_vec()
}

/// Offsets of the ICMP header, of the quoted network header and of the quoted transport header.
fn offsets(frame: &Frame) -> (usize, usize, usize) {
    if frame.src.is_ipv4() { (34, 42, 62) } else { (54, 62, 102) }
}

/// What hardware or the kernel makes of a partial checksum: the sum over everything from the transport header on.
fn fill_in(refusal: &mut [u8], transport: usize, is_tcp: bool) {
    let field = transport + if is_tcp { 16 } else { 6 };
    let checksum = match !internet_sum(&refusal[transport..]) {
        0 => 0xffff,
        checksum => checksum,
    };
    refusal[field..field + 2].copy_from_slice(&u16::to_be_bytes(checksum));
}

proptest! {
    #[test]
    fn it_is_sound_and_goes_back(frame in frames()) {
        let bytes = frame.bytes();
        let refusal = refused(&bytes);
        prop_assert_eq!(flaw(&refusal), None);
        prop_assert_eq!(&refusal[..6], &bytes[6..12]);
        prop_assert_eq!(&refusal[6..12], &bytes[..6]);
        let (icmp, quote, _) = offsets(&frame);
        if frame.src.is_ipv4() {
            prop_assert_eq!((&refusal[26..30], &refusal[30..34]), (&bytes[30..34], &bytes[26..30]));
            prop_assert_eq!(&refusal[icmp..icmp + 2], &[3, 3]);
        } else {
            prop_assert_eq!((&refusal[22..38], &refusal[38..54]), (&bytes[38..54], &bytes[22..38]));
            prop_assert_eq!(&refusal[icmp..icmp + 2], &[1, 4]);
        }
        prop_assert_eq!(&refusal[icmp + 4..icmp + 8], &[0; 4]);
        let least = if frame.src.is_ipv4() { 28 } else { 48 };
        prop_assert!(refusal.len() - quote >= least);
    }

    #[test]
    fn it_quotes_what_was_sent(frame in frames()) {
        let bytes = frame.bytes();
        let refusal = refused(&bytes);
        let (_, quote, transport) = offsets(&frame);
        let checksum = transport + if frame.tcp.is_some() { 16 } else { 6 };
        for (at, byte) in refusal.iter().enumerate().skip(quote) {
            let is_checksum = at == checksum || at == checksum + 1;
            prop_assert!(is_checksum || *byte == bytes[14 + at - quote], "byte {at}");
        }
    }

    #[test]
    fn filling_in_a_partial_checksum_leaves_it_sound(frame in frames()) {
        let mut refusal = refused(&frame.bytes());
        let before = refusal.clone();
        let (_, _, transport) = offsets(&frame);
        fill_in(&mut refusal, transport, frame.tcp.is_some());
        prop_assert_eq!(flaw(&refusal), None);
        let field = transport + if frame.tcp.is_some() { 16 } else { 6 };
        if before[field..field + 2] != [0, 0] {
            prop_assert_eq!(refusal, before);
        }
    }
}

#[test]
fn a_frame_that_cannot_grow_is_not_refused() {
    let frame = Frame::tcp("192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap(), 2).bytes();
    let mut buffer = crate::packet::Bytes::<64>::new(&frame);
    assert_eq!(reject(&mut buffer, &parsed(&frame)), None);
}

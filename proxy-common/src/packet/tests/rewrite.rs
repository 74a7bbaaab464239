//! A translated frame is as its sender would have made it.

use super::frames::{Buffer, frames, parsed, sockets};
use crate::abi::{Port, Tuple};
use crate::packet::translate;
use crate::testing::{Frame, flaw};
use proptest::prelude::*;
use std::net::SocketAddr;

fn translated(frame: &[u8], to: &Tuple, forwarded: bool) -> Vec<u8> {
    let mut buffer = Buffer::new(frame);
    translate(&mut buffer, &parsed(frame), to, forwarded).expect("a whole frame");
    buffer.as_slice().to_vec()
}

fn tuple(frame: &Frame, src: SocketAddr, dst: SocketAddr) -> Tuple {
    let proto = parsed(&frame.bytes()).tuple.proto;
    Tuple::new(src.ip().into(), Port::new(src.port()), dst.ip().into(), Port::new(dst.port()), proto)
}

/// A frame, and other addresses of its family.
fn cases() -> impl Strategy<Value = (Frame, SocketAddr, SocketAddr)> {
    (frames(), sockets()).prop_filter_map("another family", |(frame, (src, dst))| {
        (frame.src.is_ipv4() == src.is_ipv4()).then_some((frame, src, dst))
    })
}

/// The frame's bytes; a zero checksum and all ones are the same sum, of which TCP may have either.
fn with_one_zero(mut frame: Vec<u8>) -> Vec<u8> {
    let field = if frame[12..14] == [8, 0] { 34 + 16 } else { 54 + 16 };
    let proto = if frame[12..14] == [8, 0] { frame[23] } else { frame[20] };
    if proto == 6 && frame[field..field + 2] == [0xff, 0xff] {
        frame[field..field + 2].fill(0);
    }
    frame
}

proptest! {
    #[test]
    fn every_checksum_holds_after_a_translation((frame, src, dst) in cases(), forwarded: bool) {
        let frame = Frame { hop_limit: frame.hop_limit.max(1), ..frame };
        let bytes = translated(&frame.bytes(), &tuple(&frame, src, dst), forwarded);
        prop_assert_eq!(flaw(&bytes), None);
        let wanted = Frame { src, dst, hop_limit: frame.hop_limit - u8::from(forwarded), ..frame };
        prop_assert_eq!(with_one_zero(bytes), with_one_zero(wanted.bytes()));
    }

    #[test]
    fn there_and_back_is_the_same_frame((frame, src, dst) in cases()) {
        let bytes = frame.bytes();
        let there = translated(&bytes, &tuple(&frame, src, dst), false);
        let back = translated(&there, &tuple(&frame, frame.src, frame.dst), false);
        prop_assert_eq!(with_one_zero(back), with_one_zero(bytes));
    }

    #[test]
    fn a_wrong_checksum_stays_wrong((frame, src, dst) in cases(), at in 0_usize..8, by in 1_u8..=255) {
        let mut bytes = frame.bytes();
        let transport = if frame.src.is_ipv4() { 34 } else { 54 };
        let has_checksum = frame.tcp.is_some() || frame.checksum;
        prop_assume!(has_checksum && frame.payload.len() > at);
        let payload = transport + if frame.tcp.is_some() { 20 } else { 8 };
        bytes[payload + at] ^= by;
        prop_assume!(flaw(&bytes).is_some());
        prop_assert!(flaw(&translated(&bytes, &tuple(&frame, src, dst), false)).is_some());
    }
}

#[test]
fn a_datagram_without_a_checksum_stays_without() {
    let (src, dst) = ("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:53".parse().unwrap());
    let frame = Frame { checksum: false, ..Frame::udp(src, dst).with_payload(b"question") };
    let bytes = translated(&frame.bytes(), &tuple(&frame, src, "198.51.100.7:5353".parse().unwrap()), false);
    assert_eq!(bytes[40..42], [0, 0]);
    assert_eq!(flaw(&bytes), None);
}

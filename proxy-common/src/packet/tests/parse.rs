//! What a frame says of itself, and what is left to the stack.

use super::frames::{Buffer, frames, parsed};
use crate::abi::{Addr, Family, Proto, Reason};
use crate::packet::{TcpFlags, parse};
use crate::testing::Frame;
use proptest::prelude::*;

fn reason(frame: &[u8]) -> Reason {
    parse(&Buffer::new(frame)).expect_err("a frame for the stack")
}

fn v4() -> Vec<u8> {
    Frame::tcp("192.0.2.1:1000".parse().unwrap(), "192.0.2.2:80".parse().unwrap(), 2).bytes()
}

fn v6() -> Vec<u8> {
    Frame::udp("[2001:db8::1]:1000".parse().unwrap(), "[2001:db8::2]:53".parse().unwrap()).bytes()
}

fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

proptest! {
    #[test]
    fn a_plain_frame_says_what_was_written(frame in frames()) {
        let parsed = parsed(&frame.bytes());
        let tuple = parsed.tuple;
        prop_assert_eq!((tuple.src, tuple.sport.number()), (Addr::from(frame.src.ip()), frame.src.port()));
        prop_assert_eq!((tuple.dst, tuple.dport.number()), (Addr::from(frame.dst.ip()), frame.dst.port()));
        prop_assert_eq!(tuple.proto, if frame.tcp.is_some() { Proto::TCP } else { Proto::UDP });
        prop_assert_eq!(parsed.family, if frame.src.is_ipv4() { Family::V4 } else { Family::V6 });
        prop_assert_eq!(parsed.tcp, TcpFlags(frame.tcp.unwrap_or(0)));
        prop_assert_eq!(parsed.hop_limit, frame.hop_limit);
    }

    #[test]
    fn a_cut_frame_is_left_to_the_stack(frame in frames(), end in 0_usize..200) {
        let bytes = frame.bytes();
        let headers = if frame.src.is_ipv4() { 34 } else { 54 } + if frame.tcp.is_some() { 20 } else { 8 };
        let end = end.min(headers - 1);
        prop_assert_eq!(reason(&bytes[..end]), Reason::Unparsed);
    }

    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = parse(&Buffer::new(&bytes));
    }
}

#[test]
fn what_is_not_ip_is_untouched() {
    for ether_type in [[0x08, 0x06], [0x81, 0x00], [0x88, 0xcc], [0, 0]] {
        assert_eq!(reason(&with(v4(), 12, &ether_type)), Reason::Untouched);
    }
}

#[test]
fn protocols_that_are_no_services_are_untouched() {
    for proto in [1, 2, 47, 50, 58, 132, 255] {
        assert_eq!(reason(&with(v4(), 23, &[proto])), Reason::Untouched, "IPv4 {proto}");
        assert_eq!(reason(&with(v6(), 20, &[proto])), Reason::Untouched, "IPv6 {proto}");
    }
}

#[test]
fn fragments_are_left_to_the_stack() {
    for word in [[0x20, 0], [0, 1], [0x20, 1], [0x1f, 0xff], [0x3f, 0xff]] {
        assert_eq!(reason(&with(v4(), 20, &word)), Reason::Fragment);
    }
    assert!(parse(&Buffer::new(&with(v4(), 20, &[0x40, 0]))).is_ok(), "don't fragment is no fragment");
    assert_eq!(reason(&with(v6(), 20, &[44])), Reason::Fragment);
}

#[test]
fn options_and_extension_headers_are_left_to_the_stack() {
    for head in [0x46, 0x4f, 0x44, 0x40, 0x65] {
        assert_eq!(reason(&with(v4(), 14, &[head])), Reason::Unparsed, "{head:x}");
    }
    for next in [0, 43, 51, 60, 135] {
        assert_eq!(reason(&with(v6(), 20, &[next])), Reason::Unparsed, "{next}");
    }
}

#[test]
fn another_version_than_the_ether_type_says_is_left_to_the_stack() {
    assert_eq!(reason(&with(v4(), 14, &[0x65])), Reason::Unparsed);
    assert_eq!(reason(&with(v6(), 14, &[0x45])), Reason::Unparsed);
}

#[test]
fn ipv6_addresses_that_stand_for_ipv4_are_left_to_the_stack() {
    let mapped = "::ffff:10.96.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for offset in [22, 38] {
        assert_eq!(reason(&with(v6(), offset, &mapped)), Reason::Unparsed);
    }
}

//! Plain frames of every kind, as a strategy.

use crate::packet::{Bytes, Parsed};
use crate::testing::Frame;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) type Buffer = Bytes<512>;

pub(super) fn parsed(frame: &[u8]) -> Parsed {
    crate::packet::parse(&Buffer::new(frame)).expect("a plain frame")
}

/// Two addresses of one family.
pub(super) fn sockets() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::new(Ipv4Addr::from(ip).into(), port));
    let v6 = any::<([u8; 16], u16)>()
        .prop_filter("v4-mapped", |(ip, _)| ip[..12] != [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff])
        .prop_map(|(ip, port)| SocketAddr::new(Ipv6Addr::from(ip).into(), port));
    prop_oneof![(v4.clone(), v4), (v6.clone(), v6)]
}

/// Plain frames of both families and protocols.
pub(super) fn frames() -> impl Strategy<Value = Frame> {
    let payload = proptest::collection::vec(any::<u8>(), 0..80);
    (sockets(), any::<Option<u8>>(), any::<u8>(), any::<bool>(), payload).prop_map(
        |((src, dst), tcp, hop_limit, lacks_checksum, payload)| Frame {
            tcp,
            hop_limit,
            checksum: tcp.is_some() || src.is_ipv6() || !lacks_checksum,
            payload,
            ..Frame::udp(src, dst)
        },
    )
}

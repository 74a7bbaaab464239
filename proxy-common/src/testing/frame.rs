//! Frames, written byte by byte after the RFCs.

use super::internet_sum;
use std::net::{IpAddr, SocketAddr};

/// What a well-formed frame of TCP or UDP says.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Destination and source link address.
    pub link: [u8; 12],
    /// Source; of the same family as the destination.
    pub src: SocketAddr,
    /// Destination.
    pub dst: SocketAddr,
    /// TCP's control bits; `None` = UDP.
    pub tcp: Option<u8>,
    /// Time to live or hop limit.
    pub hop_limit: u8,
    /// Whether a UDP datagram carries a checksum.
    pub checksum: bool,
    /// What follows the transport header.
    pub payload: Vec<u8>,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Frame {
    /// A TCP segment with these control bits.
    pub fn tcp(src: SocketAddr, dst: SocketAddr, flags: u8) -> Self {
        Self { tcp: Some(flags), ..Self::udp(src, dst) }
    }

    /// A UDP datagram.
    pub fn udp(src: SocketAddr, dst: SocketAddr) -> Self {
        let link = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        Self { link, src, dst, tcp: None, hop_limit: 64, checksum: true, payload: Vec::new() }
    }

    /// The same frame with this payload.
    #[must_use]
    pub fn with_payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// The frame's bytes, all checksums computed.
    pub fn bytes(&self) -> Vec<u8> {
        let transport = self.transport();
        let mut frame = self.link.to_vec();
        match (self.src.ip(), self.dst.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                frame.extend([8, 0]);
                let total = (20 + transport.len() as u16).to_be_bytes();
                let mut ip = [0x45, 0, total[0], total[1], 0, 1, 0x40, 0, self.hop_limit, self.protocol(), 0, 0].to_vec();
                ip.extend(src.octets());
                ip.extend(dst.octets());
                let checksum = !internet_sum(&ip);
                ip[10..12].copy_from_slice(&checksum.to_be_bytes());
                frame.extend(ip);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 7]);
                frame.extend((transport.len() as u16).to_be_bytes());
                frame.extend([self.protocol(), self.hop_limit]);
                frame.extend(src.octets());
                frame.extend(dst.octets());
            }
            _ => panic!("source and destination are of one family"),
        }
        frame.extend(transport);
        frame
    }

    const fn protocol(&self) -> u8 {
        if self.tcp.is_some() { TCP } else { UDP }
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.src.port().to_be_bytes());
        bytes.extend(self.dst.port().to_be_bytes());
        let field = match self.tcp {
            Some(flags) => {
                bytes.extend([0, 0, 0, 9, 0, 0, 0, 8, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
                16
            }
            None => {
                bytes.extend((8 + self.payload.len() as u16).to_be_bytes());
                bytes.extend([0, 0]);
                6
            }
        };
        bytes.extend(&self.payload);
        if self.tcp.is_some() || self.checksum {
            let checksum = match !internet_sum(&self.pseudo_header(&bytes)) {
                0 if self.tcp.is_none() => 0xffff,
                checksum => checksum,
            };
            bytes[field..field + 2].copy_from_slice(&u16::to_be_bytes(checksum));
        }
        bytes
    }

    /// The pseudo header (RFC 9293, RFC 8200), and `transport` behind it.
    fn pseudo_header(&self, transport: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for address in [self.src.ip(), self.dst.ip()] {
            match address {
                IpAddr::V4(v4) => bytes.extend(v4.octets()),
                IpAddr::V6(v6) => bytes.extend(v6.octets()),
            }
        }
        bytes.extend((transport.len() as u32).to_be_bytes());
        bytes.extend([0, 0, 0, self.protocol()]);
        bytes.extend(transport);
        bytes
    }
}

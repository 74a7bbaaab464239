//! From whom to whom a packet goes.

use std::net::SocketAddr;

use super::parse::{Seen, TCP, UDP};
use crate::net::Proto;

/// Both ends of a packet; of a protocol without ports they have port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Sent by the host itself.
    pub sent: bool,
    /// The protocol number.
    protocol: u8,
    /// Whom it comes from.
    pub source: SocketAddr,
    /// Whom it goes to.
    pub destination: SocketAddr,
}

impl Ends {
    /// Those of a packet.
    pub fn of(seen: &Seen) -> Self {
        Self {
            sent: seen.sent,
            protocol: seen.protocol,
            source: SocketAddr::new(seen.source, seen.source_port),
            destination: SocketAddr::new(seen.destination, seen.destination_port),
        }
    }

    /// Whether the packet is of this protocol.
    pub fn is(&self, proto: Proto) -> bool {
        let number = match proto {
            Proto::Tcp => TCP,
            Proto::Udp => UDP,
        };
        self.protocol == number
    }
}

//! Parse, checksum and rewrite, over the trait [`Packet`]: one body per hook, and one over plain bytes for tests.
//!
//! Frames have an Ethernet header. IPv4 and IPv6 part only here.

mod bytes;
mod checksum;
mod frame;
mod header;
mod icmp;
mod parse;
mod rewrite;

pub use bytes::Bytes;
pub use checksum::Sum;
pub use frame::{Change, Packet, update_in_place};
pub use header::{Ethernet, Ipv4, Ipv6, L3, TcpFlags};
pub use icmp::reject;
pub use parse::{ETHER_V4, Parsed, parse};
pub use rewrite::{link, translate};

#[cfg(test)]
mod tests;

//! A packet socket that sees what a host's devices receive, keeps addresses and ports, and checks every checksum.
//!
//! Invariant: only frames that came in from a wire are judged; what the host itself sends still has partial checksums.

mod capture;
mod checksum;
mod ends;
mod parse;

pub use capture::{Capture, Sniffer};
pub use parse::{Fault, Icmp, Seen};

//! Single values of objects, checked.

use super::ip::parse_ip;
use super::rejection::{BadAddress, RejectReason};
use proxy_common::abi::{Port, Proto};
use std::net::IpAddr;

/// An address that a frontend or a backend can have.
pub fn address(text: &str) -> Result<IpAddr, BadAddress> {
    let ip = parse_ip(text).ok_or(BadAddress::Unparsable)?;
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if ip.is_unspecified() {
        Err(BadAddress::Unspecified)
    } else if ip.is_loopback() {
        Err(BadAddress::Loopback)
    } else if ip.is_multicast() || ip == IpAddr::from([255; 4]) {
        Err(BadAddress::Multicast)
    } else if link_local {
        Err(BadAddress::LinkLocal)
    } else {
        Ok(ip)
    }
}

/// A port number other than 0.
pub fn port(number: i64) -> Option<Port> {
    u16::try_from(number).ok().filter(|number| *number != 0).map(Port::new)
}

/// Says of a word that is none of the known ones what is made of it.
pub fn note_unknown(field: &'static str, text: &str, known: &[&str], meaning: &'static str, rejected: &mut Vec<RejectReason>) {
    if !known.contains(&text) {
        rejected.push(RejectReason::Unknown { field, text: text.to_owned(), meaning });
    }
}

/// A protocol as Kubernetes spells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// One that is served.
    Served(Proto),
    /// SCTP, which is not served.
    Sctp,
    /// Anything else.
    Unknown,
}

/// A protocol as Kubernetes spells it; empty means TCP.
pub fn protocol(text: &str) -> Protocol {
    match text {
        "" | "TCP" => Protocol::Served(Proto::TCP),
        "UDP" => Protocol::Served(Proto::UDP),
        "SCTP" => Protocol::Sctp,
        _ => Protocol::Unknown,
    }
}

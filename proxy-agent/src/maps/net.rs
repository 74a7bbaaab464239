//! Prefixes as the tables have them: lengths counted in the 128 bits of the v4-mapped form.

use ipnet::IpNet;
use proxy_common::abi::{Addr, Family, RangeSet, SourceRange};
use std::net::IpAddr;

/// Bits in front of an IPv4 address.
const MAPPED: u8 = 96;

/// A prefix as an entry of SOURCE_RANGES.
pub fn source_range(set: RangeSet, net: IpNet) -> SourceRange {
    let mapped = if net.addr().is_ipv4() { MAPPED } else { 0 };
    SourceRange::new(set, net.addr().into(), net.prefix_len() + mapped)
}

/// An entry of SOURCE_RANGES as a prefix; none if it is no agent's.
pub fn net(range: &SourceRange) -> Option<IpNet> {
    let (addr, bits): (Addr, u8) = (range.addr(), range.bits());
    let bits = if addr.family() == Family::V4 { bits.checked_sub(MAPPED)? } else { bits };
    IpNet::new(IpAddr::from(addr), bits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_both_families_come_back() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "203.0.113.9/32", "::/0", "fd00::/8", "2001:db8::1/128"] {
            let wanted: IpNet = text.parse().unwrap();
            assert_eq!(net(&source_range(RangeSet(3), wanted)), Some(wanted));
        }
    }
}

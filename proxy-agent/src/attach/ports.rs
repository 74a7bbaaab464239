//! Ports for translated sources, of those that nobody else on the node hands out. Pure but for three files of /proc.

use proxy_common::abi::{PORT_RANGES, PortRange};
use std::ops::RangeInclusive;

/// Unprivileged ports start here.
const FIRST: u16 = 1024;
/// Kubernetes' default range of NodePorts.
const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;
/// With fewer, a busy client of one backend runs out: look among sockets and take from the ephemeral range too.
const ENOUGH: u32 = 8192;

/// Which ports sources are translated to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ports {
    /// Ranges, the longest that there are, unused ones empty.
    pub ranges: [PortRange; PORT_RANGES],
    /// Sum of their lengths.
    pub count: u32,
    /// Whether the ranges overlap with ports that the node's own sockets get.
    pub check_sockets: bool,
}

/// The ports as this network namespace's settings leave them; a file that can't be read counts as the kernel's default.
pub fn from_proc() -> Ports {
    choose(ephemeral(), &parse_list(&read("ip_local_reserved_ports")))
}

/// These ports, whoever else may hand them out; sockets are looked for where the node hands out the same.
pub fn given(wanted: &[RangeInclusive<u16>]) -> Ports {
    let ephemeral = ephemeral();
    let overlaps = wanted.iter().any(|range| range.start() <= ephemeral.end() && ephemeral.start() <= range.end());
    Ports { check_sockets: overlaps, ..collect(|port| wanted.iter().any(|range| range.contains(port))) }
}

/// All ports from 1024 up, outside the ephemeral range, the NodePorts and the reserved ones; too few of these, inside the
/// ephemeral range too.
pub fn choose(ephemeral: RangeInclusive<u16>, reserved: &[RangeInclusive<u16>]) -> Ports {
    let taken = |port: &u16| *port < FIRST || NODE_PORTS.contains(port) || reserved.iter().any(|range| range.contains(port));
    let apart = collect(|port| !taken(port) && !ephemeral.contains(port));
    if apart.count >= ENOUGH { apart } else { Ports { check_sockets: true, ..collect(|port| !taken(port)) } }
}

fn collect(free: impl Fn(&u16) -> bool) -> Ports {
    let mut found: Vec<PortRange> = Vec::new();
    for port in (1..=u16::MAX).filter(free) {
        match found.last_mut() {
            Some(last) if u32::from(last.first) + u32::from(last.count) == u32::from(port) => last.count += 1,
            _ => found.push(PortRange { first: port, count: 1 }),
        }
    }
    found.sort_by_key(|range| std::cmp::Reverse(range.count));
    found.truncate(PORT_RANGES);
    found.sort_by_key(|range| range.first);
    let mut ranges = [PortRange::default(); PORT_RANGES];
    ranges[..found.len()].copy_from_slice(&found);
    Ports { ranges, count: found.iter().map(|range| u32::from(range.count)).sum(), check_sockets: false }
}

/// The ports that the node's own sockets get.
fn ephemeral() -> RangeInclusive<u16> {
    parse_pair(&read("ip_local_port_range")).unwrap_or(32768..=60999)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default()
}

fn parse_pair(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

fn parse_list(text: &str) -> Vec<RangeInclusive<u16>> {
    text.trim()
        .split(',')
        .filter_map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ports: Ports) -> Vec<(u16, u16)> {
        ports.ranges.iter().filter(|range| range.count > 0).map(|range| (range.first, range.count)).collect()
    }

    #[test]
    fn outside_of_what_others_hand_out() {
        let ports = choose(32768..=60999, &[]);
        assert_eq!(ranges(ports), [(1024, 28976), (61000, 4536)]);
        assert_eq!((ports.count, ports.check_sockets), (33512, false));
    }

    #[test]
    fn reserved_ports_cut_ranges() {
        let ports = choose(32768..=60999, &parse_list("8080,9000-9099\n"));
        assert_eq!(ranges(ports), [(1024, 7056), (8081, 919), (9100, 20900), (61000, 4536)]);
    }

    #[test]
    fn too_few_outside() {
        let ports = choose(1024..=65535, &[]);
        assert_eq!(ranges(ports), [(1024, 28976), (32768, 32768)]);
        assert!(ports.check_sockets);
    }

    #[test]
    fn the_longest_eight() {
        let reserved: Vec<_> = (2u16..20).map(|thousand| thousand * 1000..=thousand * 1000 + 1).collect();
        let ports = choose(32768..=60999, &reserved);
        assert_eq!(ranges(ports).len(), PORT_RANGES);
        assert!(ports.count > ENOUGH);
    }

    #[test]
    fn what_is_given_is_taken() {
        let ports = given(&[61_000..=61_999, 500..=599]);
        assert_eq!((ranges(ports), ports.count, ports.check_sockets), (vec![(500, 100), (61_000, 1000)], 1100, false));
        assert!(given(&[40_000..=40_001]).check_sockets, "sockets of the node get these too");
    }

    #[test]
    fn files() {
        assert_eq!(parse_pair("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_pair(""), None);
        assert!(parse_list("\n").is_empty());
    }
}

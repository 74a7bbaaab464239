//! The address plan, the same in every cluster.
//!
//! Node n (counted from 0) is 192.168.50.(11+n) and fd00:50::(11+n); its pods are in 10.244.n.0/24 and
//! fd00:244:n::/64; the gateway of the segment is .1; the outside client is .100 on the segment, or 203.0.113.100 and
//! 2001:db8:113::100 behind the router.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::net::Family;

/// All pods, IPv4.
pub const POD_CIDR_V4: &str = "10.244.0.0/16";
/// All pods, IPv6.
pub const POD_CIDR_V6: &str = "fd00:244::/32";
/// All ClusterIPs, IPv4.
pub const SERVICE_CIDR_V4: &str = "10.96.0.0/16";
/// All ClusterIPs, IPv6.
pub const SERVICE_CIDR_V6: &str = "fd00:96::/112";

/// A pair of addresses.
pub type Pair = (Ipv4Addr, Ipv6Addr);

/// The ClusterIP with a number, in a family.
pub fn cluster_ip(family: Family, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => Ipv4Addr::new(10, 96, high, low).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, number).into(),
    }
}

/// The pod subnet of a node, in a family.
pub fn pod_cidr(family: Family, node: usize) -> String {
    match family {
        Family::V4 => format!("10.244.{node}.0/24"),
        Family::V6 => format!("fd00:244:{node:x}::/64"),
    }
}

pub fn node_name(node: usize) -> String {
    format!("node{}", node + 1)
}

pub fn node(node: usize) -> Pair {
    segment(11 + node as u16)
}

pub fn gateway() -> Pair {
    segment(1)
}

pub fn outside_on_segment() -> Pair {
    segment(100)
}

pub fn outside_behind_router() -> Pair {
    (Ipv4Addr::new(203, 0, 113, 100), Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x100))
}

pub fn router_outside() -> Pair {
    (Ipv4Addr::new(203, 0, 113, 1), Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 1))
}

/// The gateway of a node's pods has number 1, so pods begin at 10.
pub fn pod_gateway(node: usize) -> Pair {
    pod_address(node, 1)
}

pub fn pod(node: usize, number: u16) -> Pair {
    pod_address(node, 9 + number)
}

/// The address that a node has towards its own pods.
pub fn gateway_ip(family: Family, node: usize) -> IpAddr {
    match family {
        Family::V4 => pod_gateway(node).0.into(),
        Family::V6 => pod_gateway(node).1.into(),
    }
}

/// The address of a node's overlay device in a family.
pub fn overlay_ip(family: Family, node: usize) -> IpAddr {
    match family {
        Family::V4 => overlay(node).0.into(),
        Family::V6 => overlay(node).1.into(),
    }
}

/// The address of a node's VXLAN device, which the other nodes' routes name as next hop.
pub fn overlay(node: usize) -> Pair {
    pod_address(node, 0)
}

/// The hardware address of a node's VXLAN device.
pub fn overlay_mac(family: Family, node: usize) -> String {
    let kind = if family == Family::V4 { 4 } else { 6 };
    format!("02:00:00:00:{kind:02x}:{node:02x}")
}

fn segment(number: u16) -> Pair {
    (Ipv4Addr::new(192, 168, 50, number as u8), Ipv6Addr::new(0xfd00, 0x50, 0, 0, 0, 0, 0, number))
}

fn pod_address(node: usize, number: u16) -> Pair {
    (Ipv4Addr::new(10, 244, node as u8, number as u8), Ipv6Addr::new(0xfd00, 0x244, node as u16, 0, 0, 0, 0, number))
}

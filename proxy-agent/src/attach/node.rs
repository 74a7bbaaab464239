//! What programs shall know of the node: NODE_ADDRESSES and DEVICES. Pure.

use super::facts::{Device, Facts, is_global};
use crate::config::{ClusterCidrs, Detector, NodePortAddresses};
use ipnet::IpNet;
use proxy_common::abi::{Addr, AddressFlags, Cidr, DeviceFlags, Family, SERVICE_CIDRS};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// kube-proxy in IPVS mode assigns every Service's address to this device: none of them is the node's.
const IPVS_DEVICE: &str = "kube-ipvs0";

/// What stands in the maps about the node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeTables {
    /// NODE_ADDRESSES.
    pub addresses: HashMap<Addr, AddressFlags>,
    /// DEVICES.
    pub devices: HashMap<u32, DeviceFlags>,
}

/// The tables that follow from the facts, the node's primary addresses as far as they are known, the detector of local pods and
/// the devices on which XDP runs.
pub fn tables(facts: &Facts, object: &[IpAddr], serve: &NodePortAddresses, detector: &Detector, xdp: &[u32]) -> NodeTables {
    let primary = [Family::V4, Family::V6].map(|family| primary(facts, object, family));
    let mut addresses = HashMap::new();
    for (addr, flags) in local(facts).map(|addr| (addr, local_flags(addr, serve, &primary))) {
        addresses.insert(Addr::from(addr), flags);
    }
    if *serve == NodePortAddresses::Primary {
        for addr in primary.into_iter().flatten() {
            let flags = addresses.entry(Addr::from(addr)).or_default();
            *flags = flags.with(AddressFlags::NODE_PORT);
        }
    }
    let pods = facts.devices.values().filter(|device| is_of_pods(facts, device, detector)).map(|device| device.index);
    let mut devices: HashMap<u32, DeviceFlags> = pods.map(|device| (device, DeviceFlags::LOCAL_PODS)).collect();
    for device in xdp {
        let flags = devices.entry(*device).or_default();
        *flags = flags.with(DeviceFlags::XDP_TARGET);
    }
    NodeTables { addresses, devices }
}

/// Whether the detector says that local pods' packets come in by the device (S38): a bridge's also by its ports.
fn is_of_pods(facts: &Facts, device: &Device, detector: &Detector) -> bool {
    match detector {
        Detector::NamePrefix(prefix) => device.name.starts_with(prefix),
        Detector::Bridge(name) => {
            let controller = device.controller.and_then(|index| facts.devices.get(&index));
            device.name == *name || controller.is_some_and(|bridge| bridge.name == *name)
        }
        Detector::None | Detector::Cidrs(_) | Detector::NodeCidrs => false,
    }
}

/// Where health checks of Services are answered (S49).
pub fn health_addresses(tables: &NodeTables, serve: &NodePortAddresses) -> Vec<IpAddr> {
    let any = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let everywhere: Vec<IpAddr> = any.into_iter().filter(|any| serve.is_everywhere(any.is_ipv4())).collect();
    let served = AddressFlags::LOCAL.with(AddressFlags::NODE_PORT);
    let named = tables.addresses.iter().filter(|(_, flags)| flags.has(served)).map(|(addr, _)| IpAddr::from(*addr));
    let named = named.filter(|addr| everywhere.iter().all(|any| any.is_ipv4() != addr.is_ipv4()));
    let mut addresses: Vec<IpAddr> = named.chain(everywhere.iter().copied()).collect();
    addresses.sort();
    addresses
}

/// The prefixes that programs compare sources with (S29, S38).
pub fn cluster_cidrs(cidrs: &ClusterCidrs) -> [Cidr; 2] {
    [cidrs.v4.map_or(Cidr::NONE, |net| cidr(net.into())), cidrs.v6.map_or(Cidr::NONE, |net| cidr(net.into()))]
}

/// The prefixes that programs hold unknown destinations against (S26): as many as there is room for. One that stays keeps its
/// place, since programs may read while it is written.
pub fn service_cidrs(before: &[Cidr; SERVICE_CIDRS], nets: &[IpNet]) -> [Cidr; SERVICE_CIDRS] {
    let wanted: Vec<Cidr> = nets.iter().take(SERVICE_CIDRS).map(|net| cidr(*net)).collect();
    let mut fresh = wanted.iter().filter(|cidr| !before.contains(cidr));
    before.map(|old| if wanted.contains(&old) { old } else { fresh.next().copied().unwrap_or(Cidr::NONE) })
}

fn cidr(net: IpNet) -> Cidr {
    let mapped = if net.addr().is_ipv4() { 96 } else { 0 };
    Cidr::new(Addr::from(net.addr()), net.prefix_len() + mapped)
}

/// The node's primary addresses, per family; unspecified where none is known. `object` says what comes first.
pub fn primary_addresses(facts: &Facts, object: &[IpAddr]) -> [Addr; 2] {
    [Family::V4, Family::V6].map(|family| primary(facts, object, family).map_or(family.any(), Addr::from))
}

/// The addresses that others can reach the node at (S24).
pub fn addresses(facts: &Facts) -> impl Iterator<Item = IpAddr> + '_ {
    local(facts).filter(|addr| is_global(*addr))
}

fn primary(facts: &Facts, object: &[IpAddr], family: Family) -> Option<IpAddr> {
    let of_object = object.iter().copied().find(|addr| addr.is_ipv4() == (family == Family::V4));
    of_object.or_else(|| facts.default_source(family))
}

fn local(facts: &Facts) -> impl Iterator<Item = IpAddr> + '_ {
    facts
        .addresses
        .iter()
        .filter(|address| facts.devices.get(&address.device).is_none_or(|device| device.name != IPVS_DEVICE))
        .map(|address| address.net.addr())
        .filter(|addr| !addr.is_unspecified() && !addr.is_multicast())
}

fn local_flags(addr: IpAddr, serve: &NodePortAddresses, primary: &[Option<IpAddr>; 2]) -> AddressFlags {
    let named = match serve {
        NodePortAddresses::Primary => primary.contains(&Some(addr)),
        NodePortAddresses::Cidrs(cidrs) => cidrs.iter().any(|net| net.contains(&addr) && suits(net, addr)),
    };
    let loopback = addr == IpAddr::V4(Ipv4Addr::LOCALHOST) || addr == IpAddr::V6(Ipv6Addr::LOCALHOST);
    if loopback && (named || *serve == NodePortAddresses::Primary) {
        AddressFlags::LOCAL.with(AddressFlags::LOOPBACK)
    } else if named && !addr.is_loopback() {
        AddressFlags::LOCAL.with(AddressFlags::NODE_PORT)
    } else {
        AddressFlags::LOCAL
    }
}

/// A prefix of no bits means every address that others can dial, not those of one link.
fn suits(net: &IpNet, addr: IpAddr) -> bool {
    net.prefix_len() > 0 || addr.is_loopback() || addr.is_ipv4() || is_global(addr)
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;

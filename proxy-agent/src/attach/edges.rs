//! Which devices are edges, of which sort, and why. Pure; nothing else in the agent knows what kind of network the pods have.
//!
//! A device that could be either is an uplink: a pod's device served as an uplink still translates, an uplink that is
//! taken for a pod's loses every NodePort.

use super::facts::{Device, Facts, LinkHeader};
use super::rules::DeviceRule;
use std::fmt;

/// The side of the node that a device leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// Towards a pod of this node.
    PodSide,
    /// Towards pods of other nodes, in tunnels.
    Overlay,
    /// Towards the rest of the world.
    Uplink,
    /// Nowhere: no program runs there.
    None,
}

/// Why a device is the edge it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// An item of `--devices` says so.
    Configured,
    /// It is the loopback device.
    Loopback,
    /// It is a veth or netkit whose peer is in another network namespace.
    PeerInPod,
    /// It encapsulates.
    Tunnel,
    /// A route with a gateway leaves by it.
    Gateway,
    /// It has a global address.
    GlobalAddress,
    /// It has no global address.
    NoGlobalAddress,
    /// It is down.
    Down,
    /// It is a port of a bridge or bond, which carries IP in its place.
    Port,
    /// It is a bridge of pods alone.
    PodBridge,
    /// It is a bridge without ports.
    EmptyBridge,
    /// It is a dummy: nothing leaves by it.
    Dummy,
    /// Its frames have no Ethernet header: not served.
    NoEthernet,
}

/// A device and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Classified {
    /// The device's index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind as the kernel names it.
    pub kind: String,
    /// Which edge it is.
    pub edge: Edge,
    /// Why.
    pub why: Why,
}

/// Says of each device which edge it is. Of `rules` the first that matches the device's name decides.
pub fn classify(facts: &Facts, rules: &[DeviceRule]) -> Vec<Classified> {
    facts
        .devices
        .values()
        .map(|device| {
            let (edge, why) = configured(device, rules).unwrap_or_else(|| automatic(facts, device));
            Classified { index: device.index, name: device.name.clone(), kind: device.kind.clone(), edge, why }
        })
        .collect()
}

fn configured(device: &Device, rules: &[DeviceRule]) -> Option<(Edge, Why)> {
    let rule = rules.iter().find(|rule| rule.matches(&device.name))?;
    let served = device.header == LinkHeader::Ethernet || rule.edge() == Edge::None;
    Some(if served { (rule.edge(), Why::Configured) } else { (Edge::None, no_header(device)) })
}

fn automatic(facts: &Facts, device: &Device) -> (Edge, Why) {
    if device.header == LinkHeader::Loopback {
        return (Edge::None, Why::Loopback);
    }
    if !device.up {
        return (Edge::None, Why::Down);
    }
    let (edge, why) = by_kind(facts, device);
    if edge != Edge::None && device.header != LinkHeader::Ethernet { (Edge::None, Why::NoEthernet) } else { (edge, why) }
}

fn by_kind(facts: &Facts, device: &Device) -> (Edge, Why) {
    match device.kind.as_str() {
        "vxlan" | "geneve" | "ipip" | "sit" | "wireguard" => (Edge::Overlay, Why::Tunnel),
        "dummy" => (Edge::None, Why::Dummy),
        _ if is_pod_side(facts, device) => (Edge::PodSide, Why::PeerInPod),
        _ if is_port(facts, device) => (Edge::None, Why::Port),
        _ if has_gateway(facts, device) => (Edge::Uplink, Why::Gateway),
        "bridge" => bridge(facts, device),
        _ => by_address(facts, device),
    }
}

fn bridge(facts: &Facts, device: &Device) -> (Edge, Why) {
    let mut ports = facts.devices.values().filter(|port| port.controller == Some(device.index)).peekable();
    if ports.peek().is_none() {
        (Edge::None, Why::EmptyBridge)
    } else if ports.all(|port| is_pod_side(facts, port) || by_kind(facts, port).0 == Edge::Overlay) {
        (Edge::None, Why::PodBridge)
    } else {
        by_address(facts, device)
    }
}

fn by_address(facts: &Facts, device: &Device) -> (Edge, Why) {
    if facts.has_global_address(device.index) { (Edge::Uplink, Why::GlobalAddress) } else { (Edge::None, Why::NoGlobalAddress) }
}

/// A node that is itself a container has a veth as its uplink, whose peer is elsewhere too: what tells them apart is a gateway
/// behind it, or a subnet around its address (the host's end of a pod's veth has no address or a single one).
fn is_pod_side(facts: &Facts, device: &Device) -> bool {
    matches!(device.kind.as_str(), "veth" | "netkit")
        && device.peer_elsewhere
        && (is_port(facts, device) || !(has_gateway(facts, device) || has_subnet(facts, device)))
}

/// A VRF's devices carry IP themselves, those of bridges and bonds do not.
fn is_port(facts: &Facts, device: &Device) -> bool {
    device.controller.is_some_and(|index| facts.devices.get(&index).is_none_or(|controller| controller.kind != "vrf"))
}

fn has_gateway(facts: &Facts, device: &Device) -> bool {
    facts.routes.iter().any(|route| route.device == device.index && route.gateway)
}

fn has_subnet(facts: &Facts, device: &Device) -> bool {
    facts.addresses_of(device.index).any(|net| super::facts::is_global(net.addr()) && net.prefix_len() < net.max_prefix_len())
}

fn no_header(device: &Device) -> Why {
    if device.header == LinkHeader::Loopback { Why::Loopback } else { Why::NoEthernet }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PodSide => "pod",
            Self::Overlay => "overlay",
            Self::Uplink => "uplink",
            Self::None => "none",
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Configured => "set by --devices",
            Self::Loopback => "the loopback device",
            Self::PeerInPod => "its peer is in another network namespace",
            Self::Tunnel => "a tunnel to other nodes",
            Self::Gateway => "a route with a gateway leaves by it",
            Self::GlobalAddress => "has a global address",
            Self::NoGlobalAddress => "has no global address",
            Self::Down => "is down",
            Self::Port => "a port: its bridge or bond carries IP",
            Self::PodBridge => "a bridge of pods alone",
            Self::EmptyBridge => "a bridge without ports",
            Self::Dummy => "a dummy: nothing leaves by it",
            Self::NoEthernet => "not served: its frames have no Ethernet header",
        })
    }
}

#[cfg(test)]
#[path = "edges_tests.rs"]
mod tests;

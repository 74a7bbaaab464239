//! Messages of rtnetlink into facts. Pure; a message without what it must have is left out.

use super::facts::{Address, Device, LinkHeader, Route};
use ipnet::IpNet;
use proxy_common::abi::Family;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use std::net::IpAddr;

/// A neighbour: the device it is reached by, and its address.
pub type NeighbourKey = (u32, IpAddr);

/// A device.
pub fn device(message: &LinkMessage) -> Option<Device> {
    let attributes = &message.attributes;
    let kind = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
            LinkInfo::Kind(kind) => Some(kind.to_string()),
            _ => None,
        }),
        _ => None,
    });
    Some(Device {
        index: message.header.index,
        name: attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })?,
        kind: kind.unwrap_or_default(),
        controller: attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Controller(index) => Some(*index),
            _ => None,
        }),
        peer_elsewhere: attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_))),
        up: message.header.flags.contains(LinkFlags::Up),
        header: match message.header.link_layer_type {
            LinkLayerType::Ether => LinkHeader::Ethernet,
            LinkLayerType::Loopback => LinkHeader::Loopback,
            _ => LinkHeader::Other,
        },
    })
}

/// An address; none whose duplicate was found on the link.
pub fn address(message: &AddressMessage) -> Option<Address> {
    if message.header.flags.contains(AddressHeaderFlags::Dadfailed) {
        return None;
    }
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(addr) => Some(*addr),
        _ => None,
    });
    // On a point-to-point link `Address` is the peer's; without `Local` (IPv6) it is the device's own.
    let addr = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(addr) => Some(*addr),
            _ => None,
        })
    })?;
    Some(Address { device: message.header.index, net: IpNet::new(addr, message.header.prefix_len).ok()? })
}

/// The default routes and those with a gateway of the main table, one for each next hop.
pub fn routes(message: &RouteMessage) -> Vec<Route> {
    let header = &message.header;
    let family = match header.address_family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return Vec::new(),
    };
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return Vec::new();
    }
    let default = header.destination_prefix_length == 0;
    hops(&message.attributes)
        .into_iter()
        .filter(|(_, gateway)| default || *gateway)
        .map(|(device, gateway)| Route {
            family,
            default,
            gateway,
            device,
            source: message.attributes.iter().find_map(source),
            metric: message.attributes.iter().find_map(metric).unwrap_or(0),
        })
        .collect()
}

/// Devices, and whether there is a gateway behind them.
fn hops(attributes: &[RouteAttribute]) -> Vec<(u32, bool)> {
    let is_gateway = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Gateway(_) | RouteAttribute::Via(_));
    let mut hops = Vec::new();
    for attribute in attributes {
        match attribute {
            RouteAttribute::Oif(device) => hops.push((*device, attributes.iter().any(is_gateway))),
            RouteAttribute::MultiPath(paths) => {
                hops.extend(paths.iter().map(|path| (path.interface_index, path.attributes.iter().any(is_gateway))));
            }
            _ => {}
        }
    }
    hops
}

fn source(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::PrefSource(RouteAddress::Inet(addr)) => Some((*addr).into()),
        RouteAttribute::PrefSource(RouteAddress::Inet6(addr)) => Some((*addr).into()),
        _ => None,
    }
}

const fn metric(attribute: &RouteAttribute) -> Option<u32> {
    match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    }
}

/// A neighbour: device, address, and the link address if the kernel has one that it believes.
pub fn neighbour(message: &NeighbourMessage) -> Option<(NeighbourKey, Option<Vec<u8>>)> {
    let addr: IpAddr = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(addr)) => Some((*addr).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(addr)) => Some((*addr).into()),
        _ => None,
    })?;
    let known = !matches!(message.header.state, NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::None);
    let link = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(link) if known => Some(link.clone()),
        _ => None,
    });
    // Forwarding entries of bridges and tunnels come by the same messages, without an IP address or with a peer's.
    let routed = matches!(message.header.family, AddressFamily::Inet | AddressFamily::Inet6);
    (routed && !addr.is_multicast()).then_some(((message.header.ifindex, addr), link))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

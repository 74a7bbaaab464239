//! What the kernel says of this node's network: plain values, taken by `netlink`, read by `edges` and `node`. No IO here.

use ipnet::IpNet;
use proxy_common::abi::Family;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Devices, addresses and routes of one network namespace at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Devices by index.
    pub devices: BTreeMap<u32, Device>,
    /// Addresses assigned to devices, in the kernel's order.
    pub addresses: Vec<Address>,
    /// Routes of the main table that have a gateway or are default routes.
    pub routes: Vec<Route>,
}

/// A network device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The kernel's index of it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The kernel's kind, as `ip link` shows it (`veth`, `bridge`); empty for hardware and `lo`.
    pub kind: String,
    /// Index of the bridge, bond or VRF that it belongs to.
    pub controller: Option<u32>,
    /// Whether the device at its other end or below it lies in another network namespace.
    pub peer_elsewhere: bool,
    /// Whether it is administratively up.
    pub up: bool,
    /// What its frames start with.
    pub header: LinkHeader,
}

/// What frames of a device start with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkHeader {
    /// An Ethernet header.
    Ethernet,
    /// The loopback device's.
    Loopback,
    /// Another header or none.
    Other,
}

/// An address assigned to a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// The device's index.
    pub device: u32,
    /// The address and the length of its prefix.
    pub net: IpNet,
}

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Address family.
    pub family: Family,
    /// Whether it is a default route.
    pub default: bool,
    /// Whether it has a gateway.
    pub gateway: bool,
    /// Index of the device it leaves by.
    pub device: u32,
    /// The source address it prefers.
    pub source: Option<IpAddr>,
    /// Its metric; the lowest wins.
    pub metric: u32,
}

impl Facts {
    /// The addresses of a device.
    pub fn addresses_of(&self, device: u32) -> impl Iterator<Item = IpNet> + '_ {
        self.addresses.iter().filter(move |address| address.device == device).map(|address| address.net)
    }

    /// Whether the device has an address that others can reach.
    pub fn has_global_address(&self, device: u32) -> bool {
        self.addresses_of(device).any(|net| is_global(net.addr()))
    }

    /// The source address of the best default route of a family (S39): the one it prefers, else its device's first.
    pub fn default_source(&self, family: Family) -> Option<IpAddr> {
        let mut routes: Vec<_> = self.routes.iter().filter(|route| route.default && route.family == family).collect();
        routes.sort_by_key(|route| route.metric);
        routes.iter().find_map(|route| route.source.or_else(|| self.first_global(route.device, family)))
    }

    /// The first global address of a family on a device.
    pub fn first_global(&self, device: u32, family: Family) -> Option<IpAddr> {
        self.addresses_of(device)
            .map(|net| net.addr())
            .find(|addr| is_global(*addr) && addr.is_ipv4() == (family == Family::V4))
    }
}

/// Whether an address is neither loopback nor link-local nor unspecified nor multicast.
pub fn is_global(addr: IpAddr) -> bool {
    let link_local = match addr {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(link_local || addr.is_loopback() || addr.is_unspecified() || addr.is_multicast())
}

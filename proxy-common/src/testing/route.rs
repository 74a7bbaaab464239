//! Routes as a test lays them out: the first one that covers a destination answers for the kernel.

use crate::abi::{Addr, Cidr, NextHop};
use core::net::IpAddr;

/// A route, and what the kernel knows of its neighbour.
#[derive(Clone, Debug)]
pub struct Route {
    /// The destinations.
    pub to: Cidr,
    /// The device, the gateway (`None` = the destination itself) and its link addresses; `None` = unreachable.
    pub way: Option<Way>,
}

/// Where a route leads.
#[derive(Clone, Debug)]
pub struct Way {
    /// Index of the device.
    pub device: u32,
    /// The neighbour, if it is not the destination itself.
    pub gateway: Option<Addr>,
    /// Destination and source link address; zeros = the neighbour is not resolved.
    pub link: [u8; 12],
    /// The source address that the route prefers.
    pub source: Addr,
}

impl Route {
    /// A route to a destination that cannot be reached.
    pub const fn unreachable(to: Cidr) -> Self {
        Self { to, way: None }
    }

    /// A route through `device`, with this preferred source, to destinations that are neighbours themselves.
    pub fn on_link(to: Cidr, device: u32, source: Addr) -> Self {
        Self { to, way: Some(Way { device, gateway: None, link: [0; 12], source }) }
    }

    /// The same route by a gateway.
    #[must_use]
    pub fn via(mut self, gateway: Addr) -> Self {
        self.way = self.way.map(|way| Way { gateway: Some(gateway), ..way });
        self
    }

    /// The same route, its neighbour resolved.
    #[must_use]
    pub fn resolved(mut self, neighbour: [u8; 6], device: [u8; 6]) -> Self {
        let mut link = [0; 12];
        link[..6].copy_from_slice(&neighbour);
        link[6..].copy_from_slice(&device);
        self.way = self.way.map(|way| Way { link, ..way });
        self
    }

    /// The next hop to `dst` in `epoch`, and the preferred source.
    pub(super) fn answer(&self, dst: &Addr, epoch: u32) -> Option<(NextHop, Addr)> {
        let way = self.way.as_ref()?;
        let gateway = way.gateway.unwrap_or(*dst);
        let family = if gateway.is_v4() { 2 } else { 10 };
        let hop = NextHop { gateway, device: way.device, epoch, link: bytemuck::cast(way.link), family, by_xdp: 0 };
        Some((hop, way.source))
    }
}

/// Whether the kernel forwards no packet from or to an IPv6 address (`rt6_need_strict` in bpf_ipv6_fib_lookup): multicast, of the link,
/// loopback.
pub(super) fn stays_on_link(addr: &Addr) -> bool {
    match IpAddr::from(*addr) {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

//! A node in a namespace: every route and neighbour that a packet can ask for, known to the kernel and to the native body alike.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use proxy_common::abi::{Addr, AddressFlags, Cidr, DeviceFlags};
use proxy_common::testing::Route;
use sluice_tests::netns::Netns;
use sluice_tests::{Family, Rig, xdp_pass};

/// The devices: an uplink to the clients; one that XDP may not send to; one that it may; the pods'.
const DEVICES: [&str; 4] = ["up0", "up1", "up2", "pod0"];

/// A node.
pub struct Node {
    /// Its namespace.
    pub netns: Netns,
    /// Indexes of its devices, in the order of their names.
    pub devices: [u32; 4],
    /// What bpf_fib_lookup answers.
    pub routes: Vec<Route>,
    /// NODE_ADDRESSES.
    pub addresses: HashMap<Addr, AddressFlags>,
    /// DEVICES.
    pub flags: HashMap<u32, DeviceFlags>,
}

/// An address of the family: the third part of an IPv4 address, or the third group of an IPv6 address, is the network.
pub fn at(family: Family, net: u8, host: u16) -> IpAddr {
    let text = match family {
        Family::V4 => format!("10.{net}.{}.{}", host >> 8, host & 255),
        Family::V6 => format!("fd00:0:{net:x}::{host:x}"),
    };
    text.parse().expect("an address")
}

/// Bits of a network's prefix.
const fn bits(family: Family) -> u8 {
    match family {
        Family::V4 => 16,
        Family::V6 => 48,
    }
}

fn network(family: Family, net: u8) -> Cidr {
    let more = if family == Family::V4 { 96 } else { 0 };
    Cidr::new(at(family, net, 0).into(), bits(family) + more)
}

const fn mac(device: u8, host: u8) -> [u8; 6] {
    [2, 0, 0, 0, device, host]
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Node {
    /// Makes the node, with an XDP program on its uplinks so that TEST_RUN takes them for a frame's device.
    pub fn build(rig: &Rig) -> Result<Self> {
        let (netns, wire) = (rig.netns("node")?, rig.netns("wire")?);
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            netns.sysctl(&format!("net/{key}"), "1")?;
        }
        for (index, device) in (0..).zip(DEVICES) {
            netns.ip(&format!(
                "link add {device} address {} type veth peer name {device} netns {}\nlink set {device} up",
                text(mac(index, 0)),
                wire.name()
            ))?;
            wire.ip(&format!("link set {device} up"))?;
        }
        for device in &DEVICES[..3] {
            xdp_pass::attach(&netns, device, &rig.pins("pass"))?;
        }
        let mut devices = [0; 4];
        for (index, device) in devices.iter_mut().zip(DEVICES) {
            *index = netns.enter(|| if_nametoindex(device))?.with_context(|| format!("the index of {device}"))?;
        }
        let flags = HashMap::from([(devices[0], DeviceFlags::XDP_TARGET), (devices[2], DeviceFlags::XDP_TARGET)]);
        let mut node = Self { netns, devices, routes: Vec::new(), addresses: HashMap::new(), flags };
        for family in Family::BOTH {
            node.lay_out(family)?;
        }
        Ok(node)
    }

    /// Networks: 1 local pods, 2 pods by up0, 3 by up1, 4 by a gateway that nobody has resolved, 5 unreachable, 6 by up2,
    /// 7 (IPv4) by an IPv6 gateway, 20 the wire of up0, 21 of up1, 22 of up2, 30 clients behind a router.
    fn lay_out(&mut self, family: Family) -> Result<()> {
        let own: [IpAddr; 3] = [20, 21, 22].map(|net| at(family, net, 1));
        let [up0, up1, up2] = own.map(Addr::from);
        let mut lines = String::new();
        for (device, address) in DEVICES.iter().zip(own) {
            lines += &own_address(family, address, device);
            self.addresses.insert(address.into(), AddressFlags::LOCAL);
        }
        self.addresses.insert(up0, AddressFlags::LOCAL.with(AddressFlags::NODE_PORT));
        for (device, net, host) in [(0, 20, 2), (0, 20, 254), (1, 21, 2), (2, 22, 2)] {
            lines += &neighbour(device, at(family, net, host), host as u8);
        }
        let pods = at(family, 1, 250);
        lines += &own_address(family, pods, "pod0");
        self.addresses.insert(pods.into(), AddressFlags::LOCAL);
        for host in 1..=40 {
            lines += &neighbour(3, at(family, 1, host), host as u8);
            self.pod_route(family, host, pods.into());
        }
        lines += &format!("route add unreachable {}/{}\n", at(family, 5, 0), bits(family));
        let ways = [(2, 0, 20, 2, up0), (3, 1, 21, 2, up1), (4, 0, 20, 44, up0), (6, 2, 22, 2, up2), (30, 0, 20, 254, up0)];
        for (net, device, wire, host, source) in ways {
            let gateway = at(family, wire, host);
            let (from, prefix) = (IpAddr::from(source), bits(family));
            lines += &format!("route add {}/{prefix} via {gateway} dev {} src {from}\n", at(family, net, 0), DEVICES[device]);
            let route = Route::on_link(network(family, net), self.devices[device], source).via(gateway.into());
            let is_resolved = host != 44;
            let (near, far) = (mac(device as u8, 0), mac(device as u8, host as u8));
            self.routes.push(if is_resolved { route.resolved(far, near) } else { route });
        }
        if family == Family::V6 {
            let gateway = at(family, 20, 2);
            lines += &format!("route add 10.7.0.0/16 via inet6 {gateway} dev up0 src 10.20.0.1\n");
            let route = Route::on_link(network(Family::V4, 7), self.devices[0], at(Family::V4, 20, 1).into());
            self.routes.push(route.via(gateway.into()).resolved(mac(0, 2), mac(0, 0)));
        }
        self.on_link(family, [up0, up1, up2, pods.into()]);
        self.netns.ip(&lines)
    }

    fn pod_route(&mut self, family: Family, host: u16, source: Addr) {
        let pod = Cidr::new(at(family, 1, host).into(), 128);
        let route = Route::on_link(pod, self.devices[3], source);
        self.routes.push(route.resolved(mac(3, host as u8), mac(3, 0)));
    }

    /// The wires and the pods' network, with what of them is resolved; this node's own addresses and those of whole networks
    /// are no way to anywhere.
    fn on_link(&mut self, family: Family, own: [Addr; 4]) {
        for (device, (net, source)) in [20, 21, 22, 1].into_iter().zip(own).enumerate() {
            for nowhere in [source, at(family, net, 0).into(), at(family, net, u16::MAX).into()] {
                let is_way = family == Family::V6 && nowhere == at(family, net, u16::MAX).into();
                self.routes.extend((!is_way).then(|| Route::unreachable(Cidr::new(nowhere, 128))));
            }
            let neighbours: &[u16] = if net == 20 { &[2, 254] } else { &[2] };
            for &host in neighbours.iter().filter(|_| net != 1) {
                let neighbour = Cidr::new(at(family, net, host).into(), 128);
                let route = Route::on_link(neighbour, self.devices[device], source);
                self.routes.push(route.resolved(mac(device as u8, host as u8), mac(device as u8, 0)));
            }
            self.routes.push(Route::on_link(network(family, net), self.devices[device], source));
        }
    }
}

/// An address that may be a route's source at once.
fn own_address(family: Family, address: IpAddr, device: &str) -> String {
    let at_once = if family == Family::V6 { "nodad" } else { "" };
    format!("addr add {address}/{} dev {device} {at_once}\n", bits(family))
}

fn neighbour(device: usize, address: IpAddr, host: u8) -> String {
    format!("neigh add {address} lladdr {} dev {} nud permanent\n", text(mac(device as u8, host)), DEVICES[device])
}

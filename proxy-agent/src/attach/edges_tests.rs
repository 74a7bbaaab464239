//! Nodes as different networks make them, and what each of their devices is.

use super::*;
use crate::attach::facts::{Address, Route};
use proxy_common::abi::Family;

/// One device in a table: name, kind, and what differs from an Ethernet device that is up.
struct Row(&'static str, &'static str, &'static [With]);

enum With {
    Addr(&'static str),
    Elsewhere,
    In(&'static str),
    Down,
    Loopback,
    NoHeader,
    Gateway,
}
use With::*;

fn facts(rows: &[Row]) -> Facts {
    let mut facts = Facts::default();
    let index_of = |name: &str| rows.iter().position(|row| row.0 == name).unwrap() as u32 + 1;
    for Row(name, kind, with) in rows {
        let index = index_of(name);
        let mut device = Device {
            index,
            name: (*name).into(),
            kind: (*kind).into(),
            controller: None,
            peer_elsewhere: false,
            up: true,
            header: LinkHeader::Ethernet,
        };
        for fact in *with {
            match fact {
                Addr(net) => facts.addresses.push(Address { device: index, net: net.parse().unwrap() }),
                Elsewhere => device.peer_elsewhere = true,
                In(controller) => device.controller = Some(index_of(controller)),
                Down => device.up = false,
                Loopback => device.header = LinkHeader::Loopback,
                NoHeader => device.header = LinkHeader::Other,
                Gateway => facts.routes.push(Route {
                    family: Family::V4,
                    default: true,
                    gateway: true,
                    device: index,
                    source: None,
                    metric: 0,
                }),
            }
        }
        facts.devices.insert(index, device);
    }
    facts
}

fn expect(rows: &[Row], rules: &[&str], wanted: &[(&str, Edge, Why)]) {
    let rules: Vec<DeviceRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    let got = classify(&facts(rows), &rules);
    let got: Vec<_> = got.iter().map(|device| (device.name.as_str(), device.edge, device.why)).collect();
    assert_eq!(got, wanted);
}

#[test]
fn hardware_with_host_routes() {
    expect(
        &[
            Row("lo", "", &[Loopback, Addr("127.0.0.1/8")]),
            Row("eth0", "", &[Addr("192.0.2.1/24"), Gateway]),
            Row("eth1", "", &[Addr("198.51.100.1/24")]),
            Row("eth2", "", &[]),
            Row("eth3", "", &[Addr("203.0.113.1/24"), Down]),
            Row("cali1", "veth", &[Elsewhere]),
            Row("lxc1", "netkit", &[Elsewhere]),
        ],
        &[],
        &[
            ("lo", Edge::None, Why::Loopback),
            ("eth0", Edge::Uplink, Why::Gateway),
            ("eth1", Edge::Uplink, Why::GlobalAddress),
            ("eth2", Edge::None, Why::NoGlobalAddress),
            ("eth3", Edge::None, Why::Down),
            ("cali1", Edge::PodSide, Why::PeerInPod),
            ("lxc1", Edge::PodSide, Why::PeerInPod),
        ],
    );
}

#[test]
fn a_node_that_is_a_container() {
    expect(
        &[
            Row("eth0", "veth", &[Elsewhere, Addr("172.18.0.2/16"), Gateway]),
            Row("eth1", "veth", &[Elsewhere, Addr("fd00::2/64")]),
            Row("veth1", "veth", &[Elsewhere, Addr("10.244.0.1/32"), Addr("fe80::1/64")]),
        ],
        &[],
        &[
            ("eth0", Edge::Uplink, Why::Gateway),
            ("eth1", Edge::Uplink, Why::GlobalAddress),
            ("veth1", Edge::PodSide, Why::PeerInPod),
        ],
    );
}

#[test]
fn a_bridge_of_pods_and_an_overlay() {
    expect(
        &[
            Row("cni0", "bridge", &[Addr("10.244.1.1/24")]),
            Row("veth1", "veth", &[Elsewhere, In("cni0")]),
            Row("flannel.1", "vxlan", &[Addr("10.244.1.0/32")]),
            Row("br1", "bridge", &[Addr("10.245.1.1/24")]),
            Row("veth2", "veth", &[Elsewhere, In("br1")]),
            Row("vxlan1", "vxlan", &[In("br1")]),
            Row("docker0", "bridge", &[Addr("172.17.0.1/16")]),
            Row("wg0", "wireguard", &[NoHeader, Addr("10.9.0.1/24")]),
            Row("kube-ipvs0", "dummy", &[Addr("10.96.0.1/32")]),
        ],
        &[],
        &[
            ("cni0", Edge::None, Why::PodBridge),
            ("veth1", Edge::PodSide, Why::PeerInPod),
            ("flannel.1", Edge::Overlay, Why::Tunnel),
            ("br1", Edge::None, Why::PodBridge),
            ("veth2", Edge::PodSide, Why::PeerInPod),
            ("vxlan1", Edge::Overlay, Why::Tunnel),
            ("docker0", Edge::None, Why::EmptyBridge),
            ("wg0", Edge::None, Why::NoEthernet),
            ("kube-ipvs0", Edge::None, Why::Dummy),
        ],
    );
}

#[test]
fn the_lowest_layer_that_carries_ip() {
    expect(
        &[
            Row("eth0", "", &[In("bond0")]),
            Row("bond0", "bond", &[]),
            Row("bond0.7", "vlan", &[Addr("192.0.2.1/24"), Gateway]),
            Row("eth1", "", &[In("br0")]),
            Row("br0", "bridge", &[Addr("198.51.100.1/24")]),
            Row("eth2", "", &[In("red"), Addr("203.0.113.1/24")]),
            Row("red", "vrf", &[]),
            Row("tun0", "tun", &[NoHeader, Addr("10.8.0.1/24")]),
        ],
        &[],
        &[
            ("eth0", Edge::None, Why::Port),
            ("bond0", Edge::None, Why::NoGlobalAddress),
            ("bond0.7", Edge::Uplink, Why::Gateway),
            ("eth1", Edge::None, Why::Port),
            ("br0", Edge::Uplink, Why::GlobalAddress),
            ("eth2", Edge::Uplink, Why::GlobalAddress),
            ("red", Edge::None, Why::NoGlobalAddress),
            ("tun0", Edge::None, Why::NoEthernet),
        ],
    );
}

#[test]
fn rules_overrule() {
    expect(
        &[
            Row("lo", "", &[Loopback]),
            Row("eth0", "", &[Addr("192.0.2.1/24")]),
            Row("eth1", "", &[Addr("198.51.100.1/24")]),
            Row("veth1", "veth", &[Elsewhere]),
            Row("wg0", "wireguard", &[NoHeader]),
        ],
        &["eth1=none", "veth*=uplink", "wg0=overlay", "lo"],
        &[
            ("lo", Edge::None, Why::Loopback),
            ("eth0", Edge::Uplink, Why::GlobalAddress),
            ("eth1", Edge::None, Why::Configured),
            ("veth1", Edge::Uplink, Why::Configured),
            ("wg0", Edge::None, Why::NoEthernet),
        ],
    );
}

//! One node, and how S39 and S40 flag its addresses.

use super::*;
use crate::attach::facts::{Address, Device, LinkHeader, Route};

fn facts() -> Facts {
    let mut facts = Facts::default();
    let devices: [(&str, &[&str]); 4] = [
        ("lo", &["127.0.0.1/8", "::1/128"]),
        ("eth0", &["192.0.2.1/24", "2001:db8::1/64", "fe80::1/64"]),
        ("eth1", &["198.51.100.1/24"]),
        (IPVS_DEVICE, &["10.96.0.1/32"]),
    ];
    for (index, (name, nets)) in (1..).zip(devices) {
        let header = if name == "lo" { LinkHeader::Loopback } else { LinkHeader::Ethernet };
        let device =
            Device { index, name: name.into(), kind: String::new(), controller: None, peer_elsewhere: false, up: true, header };
        facts.devices.insert(index, device);
        facts.addresses.extend(nets.iter().map(|net| Address { device: index, net: net.parse().unwrap() }));
    }
    for (family, device, metric) in [(Family::V4, 3, 200), (Family::V4, 2, 100), (Family::V6, 2, 1024)] {
        facts.routes.push(Route { family, default: true, gateway: true, device, source: None, metric });
    }
    facts
}

#[test]
fn s26_a_prefix_that_stays_keeps_its_place() {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
    let of = |text: &str| cidr(text.parse().unwrap());
    let none = [Cidr::NONE; SERVICE_CIDRS];
    let first = service_cidrs(&none, &nets(&["10.96.0.0/16", "fd00:96::/112", "10.97.0.0/16"]));
    let mut expected = none;
    expected[..3].copy_from_slice(&[of("10.96.0.0/16"), of("fd00:96::/112"), of("10.97.0.0/16")]);
    assert_eq!(first, expected);
    let second = service_cidrs(&first, &nets(&["10.98.0.0/16", "10.97.0.0/16"]));
    expected[..3].copy_from_slice(&[of("10.98.0.0/16"), Cidr::NONE, of("10.97.0.0/16")]);
    assert_eq!(second, expected);
    assert_eq!(service_cidrs(&second, &[]), none);
    let many: Vec<String> = (0..10).map(|number| format!("10.{number}.0.0/16")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let full = service_cidrs(&second, &nets(&many));
    let held: Vec<Cidr> = nets(&many[..SERVICE_CIDRS]).into_iter().map(cidr).collect();
    assert!(full.iter().all(|cidr| held.contains(cidr)), "the first eight");
}

/// Addresses with the letters of their flags: local, node port, loopback.
fn flags(object: &[&str], serve: &NodePortAddresses) -> Vec<(String, String)> {
    let object: Vec<IpAddr> = object.iter().map(|addr| addr.parse().unwrap()).collect();
    let letters = |flags: AddressFlags| {
        [(AddressFlags::LOCAL, 'l'), (AddressFlags::NODE_PORT, 'n'), (AddressFlags::LOOPBACK, 'o')]
            .into_iter()
            .filter(|(flag, _)| flags.has(*flag))
            .map(|(_, letter)| letter)
            .collect()
    };
    let mut got: Vec<_> = tables(&facts(), &object, serve, &Detector::None, &[])
        .addresses
        .into_iter()
        .map(|(addr, flags)| (addr.to_string(), letters(flags)))
        .collect();
    got.sort();
    got
}

fn expect(object: &[&str], serve: &NodePortAddresses, wanted: &[(&str, &str)]) {
    let got = flags(object, serve);
    assert_eq!(got.iter().map(|(addr, flags)| (addr.as_str(), flags.as_str())).collect::<Vec<_>>(), wanted);
}

fn cidrs(nets: &[&str]) -> NodePortAddresses {
    NodePortAddresses::Cidrs(nets.iter().map(|net| net.parse().unwrap()).collect())
}

#[test]
fn primary_without_a_node_object() {
    expect(
        &[],
        &NodePortAddresses::Primary,
        &[
            ("127.0.0.1", "lo"),
            ("192.0.2.1", "ln"),
            ("198.51.100.1", "l"),
            ("2001:db8::1", "ln"),
            ("::1", "lo"),
            ("fe80::1", "l"),
        ],
    );
}

#[test]
fn primary_by_the_node_object() {
    expect(
        &["198.51.100.1", "203.0.113.9"],
        &NodePortAddresses::Primary,
        &[
            ("127.0.0.1", "lo"),
            ("192.0.2.1", "l"),
            ("198.51.100.1", "ln"),
            ("2001:db8::1", "ln"),
            ("::1", "lo"),
            ("fe80::1", "l"),
        ],
    );
}

#[test]
fn an_address_of_the_node_object_that_no_device_has() {
    let got = flags(&["203.0.113.9"], &NodePortAddresses::Primary);
    assert!(got.contains(&("203.0.113.9".into(), "n".into())), "{got:?}");
}

#[test]
fn every_local_address() {
    expect(
        &["192.0.2.1"],
        &cidrs(&["0.0.0.0/0", "::/0"]),
        &[
            ("127.0.0.1", "lo"),
            ("192.0.2.1", "ln"),
            ("198.51.100.1", "ln"),
            ("2001:db8::1", "ln"),
            ("::1", "lo"),
            ("fe80::1", "l"),
        ],
    );
}

#[test]
fn a_list_that_leaves_loopback_out() {
    expect(
        &[],
        &cidrs(&["198.51.100.0/24", "fe80::/10"]),
        &[
            ("127.0.0.1", "l"),
            ("192.0.2.1", "l"),
            ("198.51.100.1", "ln"),
            ("2001:db8::1", "l"),
            ("::1", "l"),
            ("fe80::1", "ln"),
        ],
    );
}

#[test]
fn prefixes_of_both_families() {
    let cidrs = ClusterCidrs { v4: Some("10.244.0.0/16".parse().unwrap()), v6: Some("fd00::/56".parse().unwrap()) };
    let [v4, v6] = cluster_cidrs(&cidrs);
    let addr = |text: &str| Addr::from(text.parse::<IpAddr>().unwrap());
    assert!(v4.contains(&addr("10.244.3.4")) && !v4.contains(&addr("10.245.0.1")) && !v4.contains(&addr("fd00::1")));
    assert!(v6.contains(&addr("fd00::1")) && !v6.contains(&addr("10.244.3.4")));
    assert!(!cluster_cidrs(&ClusterCidrs::default())[0].is_set());
}

#[test]
fn s38_devices_of_local_pods() {
    let mut facts = facts();
    let bridge = facts.devices[&3].clone();
    facts.devices.insert(3, Device { name: "cbr0".into(), kind: "bridge".into(), ..bridge.clone() });
    facts.devices.insert(9, Device { index: 9, name: "veth1".into(), controller: Some(3), ..bridge });
    let flags = |detector: Detector, xdp: &[u32]| {
        let mut devices: Vec<_> =
            tables(&facts, &[], &NodePortAddresses::Primary, &detector, xdp).devices.into_iter().collect();
        devices.sort_by_key(|(device, _)| *device);
        devices
    };
    let (pods, xdp) = (DeviceFlags::LOCAL_PODS, DeviceFlags::XDP_TARGET);
    assert_eq!(flags(Detector::Bridge("cbr0".into()), &[]), [(3, pods), (9, pods)]);
    assert_eq!(flags(Detector::NamePrefix("veth".into()), &[2, 9]), [(2, xdp), (9, pods.with(xdp))]);
    assert_eq!(flags(Detector::NodeCidrs, &[]), []);
}

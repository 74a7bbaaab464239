//! Messages as the kernel sends them.

use super::*;
use rtnetlink::packet_route::link::InfoKind;
use rtnetlink::packet_route::route::RouteNextHop;

#[test]
fn a_bridge_port_whose_peer_is_in_a_pod() {
    let mut message = LinkMessage::default();
    message.header.index = 9;
    message.header.flags = LinkFlags::Up;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.attributes = vec![
        LinkAttribute::IfName("veth1".into()),
        LinkAttribute::Controller(4),
        LinkAttribute::LinkNetNsId(0),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
    ];
    let wanted = Device {
        index: 9,
        name: "veth1".into(),
        kind: "veth".into(),
        controller: Some(4),
        peer_elsewhere: true,
        up: true,
        header: LinkHeader::Ethernet,
    };
    assert_eq!(device(&message), Some(wanted));
}

#[test]
fn the_own_end_of_a_point_to_point_link() {
    let mut message = AddressMessage::default();
    message.header.index = 3;
    message.header.prefix_len = 32;
    message.attributes =
        vec![AddressAttribute::Address("10.0.0.2".parse().unwrap()), AddressAttribute::Local("10.0.0.1".parse().unwrap())];
    assert_eq!(address(&message), Some(Address { device: 3, net: "10.0.0.1/32".parse().unwrap() }));
    message.header.flags = AddressHeaderFlags::Dadfailed;
    assert_eq!(address(&message), None);
}

fn route(prefix: u8, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.destination_prefix_length = prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.kind = RouteType::Unicast;
    message.attributes = attributes;
    message
}

#[test]
fn routes_that_say_something_of_a_device() {
    let gateway = RouteAttribute::Gateway(RouteAddress::Inet("192.0.2.254".parse().unwrap()));
    let source = RouteAttribute::PrefSource(RouteAddress::Inet("192.0.2.1".parse().unwrap()));
    let got = routes(&route(0, vec![RouteAttribute::Oif(2), gateway.clone(), source, RouteAttribute::Priority(100)]));
    let wanted = Route {
        family: Family::V4,
        default: true,
        gateway: true,
        device: 2,
        source: Some("192.0.2.1".parse().unwrap()),
        metric: 100,
    };
    assert_eq!(got, [wanted]);
    assert!(routes(&route(24, vec![RouteAttribute::Oif(2)])).is_empty());
    let mut local = route(0, vec![RouteAttribute::Oif(1)]);
    local.header.kind = RouteType::Unreachable;
    assert!(routes(&local).is_empty());
    let mut hop = RouteNextHop::default();
    hop.interface_index = 5;
    hop.attributes = vec![gateway];
    let several = routes(&route(16, vec![RouteAttribute::MultiPath(vec![hop])]));
    assert_eq!(several.iter().map(|route| (route.device, route.gateway)).collect::<Vec<_>>(), [(5, true)]);
}

#[test]
fn neighbours() {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = 2;
    message.header.state = NeighbourState::Stale;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet("192.0.2.9".parse().unwrap())),
        NeighbourAttribute::LinkLayerAddress(vec![1; 6]),
    ];
    let key = (2, "192.0.2.9".parse().unwrap());
    assert_eq!(neighbour(&message), Some((key, Some(vec![1; 6]))));
    message.header.state = NeighbourState::Failed;
    assert_eq!(neighbour(&message), Some((key, None)));
    message.header.family = AddressFamily::Bridge;
    assert_eq!(neighbour(&message), None);
}

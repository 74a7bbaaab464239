//! Sockets: what a connect, a datagram and a received datagram become.

use super::world::{CLUSTER, FAMILIES, SECOND, SERVICE, World, at};
use crate::abi::{Addr, AddressFlags, BackendState, Family, FrontendKind, Port, Proto, Reason, ServiceWord};
use crate::lb::{Caller, Dialled, Sent, connect, peer_name, receive, send};
use std::net::IpAddr;

const OWN: Caller = Caller { netns: 1, socket: 7, source: Addr::ANY_V6 };
const POD: Caller = Caller { netns: 2, socket: 8, source: Addr::ANY_V6 };
const BACKEND: (u8, u8, u16) = (1, 1, 8080);

fn cluster(family: Family) -> (Addr, Port) {
    (at(family, CLUSTER.0, CLUSTER.1), Port::new(CLUSTER.2))
}

fn loopback(family: Family) -> Addr {
    let text = if family == Family::V4 { "127.0.0.1" } else { "::1" };
    text.parse::<IpAddr>().expect("an address").into()
}

#[test]
fn a_connect_to_a_frontend_goes_to_a_backend() {
    for family in FAMILIES {
        for mut world in [World::tcp(family, BACKEND), World::udp(family, BACKEND)] {
            let (addr, port) = cluster(family);
            let Dialled::Backend(state) = connect(&mut world.env, POD, addr, port, world.proto) else { panic!("no backend") };
            assert_eq!((state.backend_addr, state.backend_port.number()), (at(family, 1, 1), 8080));
            assert_eq!((state.frontend.addr, state.frontend.port, state.service), (addr, port, SERVICE));
            assert_eq!(peer_name(&state, state.backend_addr, state.backend_port), Some((addr, port)));
            assert_eq!(peer_name(&state, state.backend_addr, Port::new(1)), None);
            assert_eq!(world.opened(), 1);
        }
    }
}

#[test]
fn a_connect_elsewhere_or_without_endpoints() {
    let mut world = World::tcp(Family::V4, BACKEND);
    let (addr, port) = cluster(Family::V4);
    assert_eq!(connect(&mut world.env, POD, addr, Port::new(81), Proto::TCP), Dialled::Untouched);
    assert_eq!(connect(&mut world.env, POD, addr, port, Proto::UDP), Dialled::Untouched, "another protocol");
    world.env.set_slots(SERVICE, &[]);
    assert_eq!(connect(&mut world.env, POD, addr, port, Proto::TCP), Dialled::Refused(Reason::NoEndpoint));
    world.env.services[1] = ServiceWord::NONE;
    assert_eq!(connect(&mut world.env, POD, addr, port, Proto::TCP), Dialled::Untouched);
}

#[test]
fn s40_node_ports_on_loopback_are_for_processes_of_the_node_alone() {
    for family in FAMILIES {
        let mut world = World::tcp(family, BACKEND);
        let flags = AddressFlags::LOCAL.with(AddressFlags::LOOPBACK);
        world.env.addresses.insert(loopback(family), flags);
        let port = Port::new(super::world::NODE_PORT.2);
        let dial = |world: &mut World, caller, addr| connect(&mut world.env, caller, addr, port, Proto::TCP);
        assert!(matches!(dial(&mut world, OWN, loopback(family)), Dialled::Backend(_)));
        assert_eq!(dial(&mut world, POD, loopback(family)), Dialled::Untouched);
        for caller in [OWN, POD] {
            assert!(matches!(dial(&mut world, caller, at(family, 20, 1)), Dialled::Backend(_)));
        }
        world.env.addresses.insert(loopback(family), AddressFlags::LOCAL);
        assert_eq!(dial(&mut world, OWN, loopback(family)), Dialled::Untouched, "left out by a list of CIDRs");
    }
}

#[test]
fn an_unconnected_socket_keeps_to_its_backend_while_that_serves() {
    for family in FAMILIES {
        let mut world = World::udp(family, BACKEND);
        let (addr, port) = cluster(family);
        let first = Sent::To(at(family, 1, 1), Port::new(8080), Reason::Opened);
        assert_eq!(send(&mut world.env, POD, addr, port), first);
        world.replace_endpoint((1, 2, 8080));
        let again = Sent::To(at(family, 1, 1), Port::new(8080), Reason::Forward);
        assert_eq!(send(&mut world.env, POD, addr, port), again);
        world.env.states[1] = BackendState::default();
        let other = Sent::To(at(family, 1, 2), Port::new(8080), Reason::Opened);
        assert_eq!(send(&mut world.env, POD, addr, port), other);
        world.env.set_slots(SERVICE, &[]);
        world.retire(3);
        assert_eq!(send(&mut world.env, POD, addr, port), Sent::Refused(Reason::NoEndpoint));
        assert_eq!(send(&mut world.env, POD, at(family, 40, 1), port), Sent::Untouched);
    }
}

#[test]
fn s13_an_unconnected_socket_follows_a_frontend_to_another_service() {
    for family in FAMILIES {
        let mut world = World::udp(family, BACKEND);
        let (addr, port) = cluster(family);
        send(&mut world.env, POD, addr, port);
        let service = world.env.add_service(&[world.endpoint((1, 2, 8080))]);
        world.frontend(CLUSTER, FrontendKind::CLUSTER_IP, service);
        let other = Sent::To(at(family, 1, 2), Port::new(8080), Reason::Opened);
        assert_eq!(send(&mut world.env, POD, addr, port), other);
    }
}

#[test]
fn replies_to_an_unconnected_socket_come_from_the_frontend_it_sent_to() {
    let mut world = World::udp(Family::V6, BACKEND);
    let (addr, port) = cluster(Family::V6);
    send(&mut world.env, POD, addr, port);
    let (backend, backend_port) = (at(Family::V6, 1, 1), Port::new(8080));
    assert_eq!(receive(&world.env, POD, None, backend, backend_port), Some((addr, port)));
    assert_eq!(receive(&world.env, OWN, None, backend, backend_port), None, "another socket");
    assert_eq!(receive(&world.env, POD, None, backend, Port::new(9)), None, "another peer");
}

#[test]
fn one_socket_does_not_take_one_backend_for_two_frontends_while_there_are_others() {
    let mut world = World::udp(Family::V4, BACKEND);
    let shared = crate::abi::BackendId(1);
    let other = world.replace_endpoint((1, 2, 8080));
    world.env.set_slots(SERVICE, &[shared, other]);
    let (second, port) = (at(Family::V4, SECOND.0, SECOND.1), Port::new(SECOND.2));
    assert_eq!(send(&mut world.env, POD, second, port), Sent::To(at(Family::V4, 1, 1), Port::new(8080), Reason::Opened));
    let (addr, port) = cluster(Family::V4);
    let alone = (0..50).filter(|&socket| {
        let caller = Caller { netns: 2, socket: 100 + socket, source: Addr::ANY_V6 };
        send(&mut world.env, caller, second, port);
        matches!(send(&mut world.env, caller, addr, port), Sent::To(to, _, _) if to == at(Family::V4, 1, 2))
    });
    assert!(alone.count() >= 42, "four draws of two leave one in sixteen");
}

#[test]
fn a_connected_socket_knows_its_frontend_first() {
    let mut world = World::udp(Family::V4, BACKEND);
    let (addr, port) = cluster(Family::V4);
    let Dialled::Backend(state) = connect(&mut world.env, POD, addr, port, Proto::UDP) else { panic!("no backend") };
    let from = (state.backend_addr, state.backend_port);
    assert_eq!(receive(&world.env, POD, Some(&state), from.0, from.1), Some((addr, port)));
    assert_eq!(receive(&world.env, POD, None, from.0, from.1), None);
}

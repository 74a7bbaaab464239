//! The search for a source port.

use super::world::{ACK, CLIENT, End, FAMILIES, FIN, INGRESS, NODE_PORT, RST, SYN, SYN_ACK, World};
use crate::abi::{Proto, Reason};
use crate::lb::Path;
use std::collections::BTreeSet;

const REMOTE: End = (2, 1, 8080);

fn client(number: u16) -> End {
    (CLIENT.0, CLIENT.1, number)
}

/// Opens a flow from the client's port and returns the port towards the backend.
fn open(world: &mut World, number: u16) -> u16 {
    assert_eq!(world.send(&INGRESS, client(number), NODE_PORT, SYN), (Reason::Opened, Path::Out));
    world.to().sport.number()
}

/// Ends the flow that has this port towards the backend: both sides say so.
fn close(world: &mut World, number: u16, port: u16) {
    let reply = world.tuple(REMOTE, (20, 1, port));
    world.pass(&INGRESS, reply, SYN_ACK);
    world.send(&INGRESS, client(number), NODE_PORT, ACK);
    world.send(&INGRESS, client(number), NODE_PORT, FIN);
    world.pass(&INGRESS, reply, FIN);
}

#[test]
fn every_port_of_every_range_is_found_once() {
    for family in FAMILIES {
        let mut world = World::tcp(family, REMOTE);
        world.env.set_ports(&[(1_024, 5), (40_000, 1), (65_530, 6)]);
        let ports: BTreeSet<u16> = (1..=12).map(|number| open(&mut world, number)).collect();
        let wanted: BTreeSet<u16> = (1_024..1_029).chain([40_000]).chain(65_530..=65_535).collect();
        assert_eq!(ports, wanted);
        assert_eq!(world.send(&INGRESS, client(13), NODE_PORT, SYN), (Reason::PortsExhausted, Path::Drop));
        assert_eq!((world.env.flows.len(), world.opened()), (24, 12));
    }
}

#[test]
fn ports_are_spread_over_the_ranges() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    world.env.set_ports(&[(10_000, 1_000), (20_000, 1_000)]);
    let low = (1..=200).filter(|number| open(&mut world, *number) < 20_000).count();
    assert!((60..140).contains(&low), "{low} of 200 in the first half");
}

#[test]
fn without_ranges_nothing_is_found() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    world.env.set_ports(&[]);
    assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, SYN), (Reason::PortsExhausted, Path::Drop));
}

#[test]
fn a_port_is_free_towards_another_backend() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    world.env.set_ports(&[(50_000, 1)]);
    open(&mut world, 1);
    world.replace_endpoint((2, 2, 8080));
    assert_eq!(open(&mut world, 2), 50_000);
}

#[test]
fn ports_of_this_nodes_sockets_are_left_alone_where_the_ranges_overlap() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    world.env.set_ports(&[(50_000, 2)]);
    world.env.sockets.insert((Proto::TCP, 50_001));
    world.env.config.check_sockets = 1;
    assert_eq!(open(&mut world, 1), 50_000);
    assert_eq!(world.send(&INGRESS, client(2), NODE_PORT, SYN).0, Reason::PortsExhausted);
    world.env.config.check_sockets = 0;
    assert_eq!(open(&mut world, 2), 50_001);
}

#[test]
fn of_ports_in_use_the_one_closed_longest_makes_room() {
    for family in FAMILIES {
        let mut world = World::tcp(family, REMOTE);
        world.env.set_ports(&[(50_000, 4)]);
        let ports: [u16; 4] = core::array::from_fn(|index| open(&mut world, index as u16 + 1));
        for index in [2, 0, 3] {
            world.env.now += 5_000;
            close(&mut world, index as u16 + 1, ports[index]);
        }
        world.env.now += 5_000;
        assert_eq!(open(&mut world, 9), ports[2], "closed first");
        assert_eq!(open(&mut world, 10), ports[0]);
        assert_eq!(open(&mut world, 11), ports[3]);
        assert_eq!(world.send(&INGRESS, client(12), NODE_PORT, SYN).0, Reason::PortsExhausted, "the last one is in use");
        assert_eq!(world.env.flows.len(), 8, "{}", world.dump());
    }
}

#[test]
fn a_reset_of_either_side_ends_a_flow_and_one_fin_does_not() {
    for from_client in [true, false] {
        let mut world = World::tcp(FAMILIES[0], REMOTE);
        world.env.set_ports(&[(50_000, 1)]);
        open(&mut world, 1);
        let reply = world.to().reversed();
        for (flags, reason) in [(FIN, Reason::PortsExhausted), (RST, Reason::Opened)] {
            if from_client {
                world.send(&INGRESS, client(1), NODE_PORT, flags);
            } else {
                world.pass(&INGRESS, reply, flags);
            }
            assert_eq!(world.send(&INGRESS, client(2), NODE_PORT, SYN).0, reason, "{from_client} {flags}");
        }
    }
}

#[test]
fn a_reply_entry_without_its_client_makes_room() {
    let mut world = World::udp(FAMILIES[0], REMOTE);
    world.env.set_ports(&[(50_000, 1)]);
    open(&mut world, 1);
    let evicted = world.tuple(client(1), NODE_PORT);
    world.evict(&evicted);
    assert_eq!(open(&mut world, 2), 50_000);
    assert_eq!(world.env.flows.len(), 2);
}

//! Which places see which entries: a packet is translated at the edge where its client is, and nowhere else.

use super::world::{ACK, CLIENT, CLUSTER, EGRESS, End, FAMILIES, INGRESS, MADE_HERE, NODE_PORT, POD, SYN, SYN_ACK, World, XDP};
use crate::abi::{FlowFlags, Reason};
use crate::lb::{Path, Place};

const LOCAL: End = (1, 1, 8080);
const REMOTE: End = (2, 1, 8080);
/// The node itself.
const NODE: End = (20, 1, 41_000);
const EVERYWHERE: [Place; 5] = [INGRESS, EGRESS, MADE_HERE, POD, XDP];

/// The places at which a packet of the flow is translated.
fn seen(world: &mut World, tuple: crate::abi::Tuple) -> Vec<Place> {
    let translated = |verdict: (Reason, Path)| matches!(verdict.0, Reason::Forward | Reason::Reply);
    EVERYWHERE.into_iter().filter(|place| translated(world.pass(place, tuple, ACK))).collect()
}

#[test]
fn a_translated_destination_alone() {
    for family in FAMILIES {
        let mut world = World::tcp(family, LOCAL);
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        let (client, reply) = (world.tuple(CLIENT, CLUSTER), world.to().reversed());
        assert_eq!(seen(&mut world, client), [INGRESS, XDP]);
        assert_eq!(seen(&mut world, reply), [EGRESS, MADE_HERE]);
    }
}

#[test]
fn a_masqueraded_flow_returns_where_it_came_in_and_from_pods() {
    for family in FAMILIES {
        let mut world = World::tcp(family, REMOTE);
        assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, SYN), (Reason::Opened, Path::Out));
        let (client, reply) = (world.tuple(CLIENT, NODE_PORT), world.to().reversed());
        assert_eq!(seen(&mut world, client), [INGRESS, XDP]);
        assert_eq!(seen(&mut world, reply), [INGRESS, POD, XDP]);
        assert_eq!(world.pass(&POD, reply, SYN_ACK), (Reason::Reply, Path::Out));
    }
}

#[test]
fn the_nodes_own_packets_are_translated_where_they_leave() {
    for family in FAMILIES {
        let mut world = World::tcp(family, REMOTE);
        assert_eq!(world.send(&MADE_HERE, NODE, CLUSTER, SYN), (Reason::Opened, Path::Out));
        assert_eq!(world.to(), world.tuple(NODE, REMOTE), "the source is the node's own already");
        let (client, reply) = (world.tuple(NODE, CLUSTER), world.to().reversed());
        assert!(world.entry(&client).is_some_and(|flow| flow.flags.has(FlowFlags::FROM_NODE)));
        assert_eq!(seen(&mut world, client), [MADE_HERE]);
        assert_eq!(seen(&mut world, reply), [INGRESS, POD, XDP]);
        assert_eq!(world.pass(&INGRESS, reply, SYN_ACK), (Reason::Reply, Path::Stack));
    }
}

#[test]
fn a_process_of_the_node_cannot_reach_a_local_backend_by_way_of_the_uplink() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    assert_eq!(world.send(&MADE_HERE, NODE, CLUSTER, SYN), (Reason::LocalUnreachable, Path::Drop));
    assert_eq!(world.env.flows.len(), 0);
}

#[test]
fn what_was_received_or_comes_from_a_pod_opens_nothing_on_its_way() {
    for place in [EGRESS, POD] {
        for frontend in [CLUSTER, NODE_PORT] {
            let mut world = World::tcp(FAMILIES[0], LOCAL);
            assert_eq!(world.send(&place, CLIENT, frontend, SYN), (Reason::Untouched, Path::Pass));
            assert_eq!(world.env.flows.len(), 0);
        }
    }
}

#[test]
fn a_packet_that_is_sent_out_loses_one_hop_and_the_last_hop_ends_here() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    let client = world.tuple(CLIENT, NODE_PORT);
    world.pass(&INGRESS, client, SYN);
    for (hop_limit, wanted) in [(2, Path::Out), (1, Path::Drop), (0, Path::Drop)] {
        assert_eq!(world.pass_with_hop_limit(&INGRESS, client, ACK, hop_limit).1, wanted);
    }
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    let client = world.tuple(CLIENT, NODE_PORT);
    assert_eq!(world.pass_with_hop_limit(&INGRESS, client, SYN, 1), (Reason::Opened, Path::Stack), "the stack counts hops");
}

#[test]
fn a_node_port_is_there_at_node_port_addresses_alone() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    let other = (20, 3, NODE_PORT.2);
    assert_eq!(world.send(&INGRESS, CLIENT, other, SYN).0, Reason::Untouched);
    world.env.addresses.insert(world.tuple(CLIENT, other).dst, crate::abi::AddressFlags::LOCAL);
    assert_eq!(world.send(&INGRESS, CLIENT, other, SYN).0, Reason::Untouched);
    let loopback = crate::abi::AddressFlags::LOCAL.with(crate::abi::AddressFlags::LOOPBACK);
    world.env.addresses.insert(world.tuple(CLIENT, other).dst, loopback);
    assert_eq!(world.send(&INGRESS, CLIENT, other, SYN).0, Reason::Untouched, "S40 is for sockets");
}

#[test]
fn next_hops_are_asked_for_once_an_epoch() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    world.send(&INGRESS, CLIENT, NODE_PORT, SYN);
    let asked = world.env.route_queries;
    for _ in 0..3 {
        world.send(&INGRESS, CLIENT, NODE_PORT, ACK);
    }
    assert_eq!(world.env.route_queries, asked);
    world.env.config.epoch += 1;
    for _ in 0..3 {
        assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, ACK).1, Path::Out);
    }
    assert_eq!(world.env.route_queries, asked + 1);
    world.env.config.epoch += 1;
    world.env.routes.clear();
    assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, ACK), (Reason::NoRoute, Path::Drop));
}

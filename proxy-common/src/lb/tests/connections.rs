//! Connections: one entry for both directions, and where they end and flows begin.

use super::world::{
    ACK, CLIENT, CLUSTER, EGRESS, End, FAMILIES, FIN, INGRESS, MADE_HERE, NODE_PORT, POD, RST, SECOND, SYN, SYN_ACK, World, XDP,
};
use crate::abi::{BackendId, FrontendKind, Reason, ServiceId};
use crate::lb::Path;

const LOCAL: End = (1, 1, 8080);
const NEXT: End = (1, 2, 8080);
const REMOTE: End = (2, 1, 8080);

/// How many connections and how many entries of flows there are.
fn kept(world: &World) -> (usize, usize) {
    (world.env.connections.len(), world.env.flows.len())
}

/// The second Service gets this endpoint instead.
fn second_to(world: &mut World, backend: End) {
    let (addr, port, flags) = world.endpoint(backend);
    let id: BackendId = world.env.add_backend(addr, port, flags);
    world.env.set_slots(ServiceId(2), &[id]);
}

#[test]
fn what_keeps_its_clients_end_is_a_connection_and_all_else_a_flow() {
    for family in FAMILIES {
        for (backend, frontend, kind) in [(LOCAL, NODE_PORT, (1, 0)), (LOCAL, CLUSTER, (1, 0)), (REMOTE, NODE_PORT, (0, 2))] {
            let mut world = World::tcp(family, backend);
            world.establish(&INGRESS, frontend, if backend == LOCAL { &EGRESS } else { &INGRESS });
            assert_eq!((kept(&world), world.opened(), world.embryonic()), (kind, 1, 0));
        }
        let mut world = World::tcp(family, REMOTE);
        assert_eq!(world.send(&MADE_HERE, (20, 1, 40_000), CLUSTER, SYN).0, Reason::Opened);
        assert_eq!(kept(&world), (0, 2), "a process of this node");
        let mut world = World::udp(family, LOCAL);
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0).0, Reason::Opened);
        assert_eq!(kept(&world), (0, 2), "UDP");
    }
}

#[test]
fn what_xdp_opens_tc_follows_and_no_pods_edge_does() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), (Reason::Opened, Path::Stack));
    assert_eq!(world.send(&EGRESS, LOCAL, CLIENT, SYN_ACK), (Reason::Reply, Path::Stack));
    for place in [XDP, INGRESS] {
        assert_eq!(world.send(&place, CLIENT, NODE_PORT, ACK), (Reason::Forward, Path::Stack));
    }
    assert_eq!(world.send(&POD, CLIENT, NODE_PORT, ACK), (Reason::Untouched, Path::Pass));
    assert_eq!(kept(&world), (1, 0));
}

/// One port of a client, two frontends: the second is a flow, with the client's own port unless both lead to one backend.
#[test]
fn a_port_that_dials_another_frontend_has_a_flow_beside_its_connection() {
    for family in FAMILIES {
        for (other, reason) in [(NEXT, Reason::Opened), (REMOTE, Reason::Opened), (LOCAL, Reason::PortExchanged)] {
            let mut world = World::tcp(family, LOCAL);
            let first = world.establish(&INGRESS, CLUSTER, &EGRESS);
            world.frontend(SECOND, FrontendKind::EXTERNAL_IP, ServiceId(2));
            second_to(&mut world, other);
            let place = if other == REMOTE { INGRESS } else { EGRESS };
            assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN).0, reason);
            let second = world.to().reversed();
            assert_eq!(kept(&world), (1, 2), "{}", world.dump());
            for _ in 0..2 {
                assert_eq!(world.pass(&place, second, SYN_ACK).0, Reason::Reply);
                assert_eq!(world.to(), world.tuple(SECOND, CLIENT));
                assert_eq!(world.pass(&EGRESS, first, ACK).0, Reason::Reply);
                assert_eq!(world.to(), world.tuple(CLUSTER, CLIENT));
                for frontend in [CLUSTER, SECOND] {
                    assert_eq!(world.send(&INGRESS, CLIENT, frontend, ACK).0, Reason::Forward);
                }
                assert_eq!(world.to().reversed(), second);
            }
            assert_eq!((world.opened(), world.embryonic()), (2, 0));
        }
    }
}

/// The other way about: what became a flow for lack of a place holds its tuple against connections.
#[test]
fn a_connection_never_takes_the_tuple_of_a_flow() {
    for spills in [false, true] {
        for (other, reason, connections) in [(NEXT, Reason::Opened, 1), (LOCAL, Reason::PortExchanged, 0)] {
            let mut world = World::without_connections(FAMILIES[0], LOCAL);
            let quota = world.env.rooms[0].quota;
            world.env.rooms[0].quota = if spills { 0 } else { quota };
            world.send(&INGRESS, CLIENT, CLUSTER, SYN);
            (world.env.places, world.env.rooms[0].quota) = (usize::MAX, quota);
            second_to(&mut world, other);
            assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN).0, reason, "spills: {spills}");
            let second = world.to().reversed();
            assert_eq!(kept(&world), (connections, 4 - 2 * connections), "{}", world.dump());
            for (reply, frontend) in [(world.tuple(LOCAL, CLIENT), CLUSTER), (second, SECOND)] {
                assert_eq!(world.pass(&EGRESS, reply, SYN_ACK).0, Reason::Reply);
                assert_eq!(world.to(), world.tuple(frontend, CLIENT));
                assert_eq!(world.send(&INGRESS, CLIENT, frontend, ACK).0, Reason::Forward);
                assert!(world.is_established(frontend));
            }
        }
    }
}

/// The reply's entry of a flow in the spill may be evicted alone; the flow gives way to a connection that has its tuple since.
#[test]
fn a_reply_entry_that_was_evicted_is_not_restored_over_a_connection() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    let quota = core::mem::replace(&mut world.env.rooms[0].quota, 0);
    world.send(&INGRESS, CLIENT, CLUSTER, SYN);
    let reply = world.tuple(LOCAL, CLIENT);
    world.evict(&reply);
    world.env.rooms[0].quota = quota;
    assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN).0, Reason::Opened);
    assert_eq!(kept(&world), (1, 1));
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, ACK).0, Reason::MidFlow);
    assert_eq!(world.pass(&EGRESS, reply, SYN_ACK).0, Reason::Reply);
    assert_eq!((kept(&world), world.to()), ((1, 0), world.tuple(SECOND, CLIENT)));
}

#[test]
fn a_port_that_is_exchanged_is_none_of_another_connection() {
    for seed in 1..=16 {
        for connection_first in [false, true] {
            let mut world = World::tcp(FAMILIES[0], LOCAL);
            world.env.seed = seed;
            world.env.set_ports(&[(CLIENT.2 + 1, 2)]);
            let neighbour = (CLIENT.0, CLIENT.1, CLIENT.2 + 1);
            if connection_first {
                assert_eq!(world.send(&INGRESS, neighbour, CLUSTER, SYN).0, Reason::Opened);
            }
            for frontend in [CLUSTER, SECOND] {
                world.send(&INGRESS, CLIENT, frontend, SYN);
            }
            let exchanged = world.to().sport.number();
            if connection_first {
                assert_eq!(exchanged, CLIENT.2 + 2, "the other port is a connection's");
            } else {
                let reason = world.send(&INGRESS, neighbour, CLUSTER, SYN).0;
                assert_eq!(reason == Reason::Opened, neighbour.2 != exchanged, "{reason:?}");
            }
        }
    }
}

#[test]
fn a_port_that_makes_room_is_no_connections_either() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    world.env.set_ports(&[(50_000, 1)]);
    let dial = |world: &mut World, number| {
        world.send(&INGRESS, (30, 1, number), CLUSTER, SYN);
        world.send(&INGRESS, (30, 1, number), SECOND, SYN).0
    };
    assert_eq!(dial(&mut world, 1), Reason::PortExchanged);
    world.send(&INGRESS, (30, 1, 1), SECOND, RST);
    let mut other = World::tcp(FAMILIES[0], LOCAL);
    other.send(&INGRESS, (30, 1, 50_000), CLUSTER, SYN);
    world.env.connections.extend(other.env.connections);
    assert_eq!(dial(&mut world, 2), Reason::PortsExhausted, "the tuple of a flow that is over, which a connection has taken");
}

/// Another CPU opens the same flow at the same time: a connection stands, whoever made it.
#[test]
fn of_two_flows_opened_at_once_the_connection_stands() {
    let mut other = World::tcp(FAMILIES[0], NEXT);
    other.send(&INGRESS, CLIENT, CLUSTER, SYN);
    let rivals = other.env.connections;
    for places in [0, usize::MAX] {
        for spills in [false, true] {
            let mut world = World::tcp(FAMILIES[0], LOCAL);
            world.env.places = places;
            if spills {
                world.fill();
            }
            world.env.rivals = rivals.clone();
            assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Opened, Path::Stack));
            assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
            assert_eq!((kept(&world), world.opened()), ((1, 0), 0), "the winner counts it: {}", world.dump());
        }
    }
    let mut other = World::without_connections(FAMILIES[0], NEXT);
    other.send(&INGRESS, CLIENT, CLUSTER, SYN);
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    world.env.races = other.env.flows;
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Opened, Path::Stack));
    assert_eq!((kept(&world), world.to()), ((1, 0), world.tuple(CLIENT, LOCAL)), "{}", world.dump());
}

/// Two first packets of one port to two frontends at the same time.
#[test]
fn a_tuple_that_is_taken_meanwhile_is_left_alone() {
    let mut other = World::tcp(FAMILIES[0], LOCAL);
    other.send(&INGRESS, CLIENT, SECOND, SYN);
    for places in [0, usize::MAX] {
        let mut world = World::tcp(FAMILIES[0], LOCAL);
        world.env.places = places;
        world.env.rivals = other.env.connections.clone();
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::PortExchanged);
        assert_eq!((kept(&world), world.opened()), ((1, 2), 1), "{}", world.dump());
    }
    let mut other = World::without_connections(FAMILIES[0], LOCAL);
    other.send(&INGRESS, CLIENT, SECOND, SYN);
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    world.env.races = other.env.flows;
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::PortExchanged);
    assert_eq!((kept(&world), world.opened()), ((0, 4), 1), "{}", world.dump());
}

/// A stranger's packet that gives itself out for a process of this node leaves that one's flow alone.
#[test]
fn who_feigns_to_be_the_node_takes_no_flow_of_its_processes() {
    let process: End = (20, 1, 40_000);
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    world.send(&MADE_HERE, process, CLUSTER, SYN);
    let reply = world.to().reversed();
    second_to(&mut world, LOCAL);
    world.replace_endpoint(LOCAL);
    world.send(&INGRESS, process, CLUSTER, SYN);
    assert_eq!(world.pass(&INGRESS, reply, SYN_ACK).0, Reason::Reply);
    assert_eq!(world.to(), world.tuple(CLUSTER, process));
    assert_eq!(world.send(&MADE_HERE, process, CLUSTER, ACK).0, Reason::Forward);
    assert_eq!(world.to(), reply.reversed());
}

/// The same towards the same backend: the process keeps its replies.
#[test]
fn who_feigns_to_be_the_node_takes_no_reply_of_its_processes() {
    let process: End = (20, 1, 40_000);
    for spills in [false, true] {
        let mut world = World::tcp(FAMILIES[0], REMOTE);
        world.send(&MADE_HERE, process, CLUSTER, SYN);
        let reply = world.to().reversed();
        if spills {
            world.fill();
        }
        world.send(&INGRESS, process, CLUSTER, SYN);
        assert_eq!(world.pass(&INGRESS, reply, SYN_ACK).0, Reason::Reply, "spills: {spills}");
        assert_eq!(world.to(), world.tuple(CLUSTER, process));
    }
}

#[test]
fn a_reply_under_the_packets_tuple_is_left_to_its_flow() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    let tuple = world.tuple(CLIENT, CLUSTER);
    let mut other = World::without_connections(FAMILIES[0], LOCAL);
    other.send(&INGRESS, CLIENT, SECOND, SYN);
    let stranger = other.entry(&other.tuple(LOCAL, CLIENT)).expect("a reply's entry");
    world.env.flows.insert((world.table(), tuple), stranger);
    world.send(&INGRESS, CLIENT, CLUSTER, SYN);
    assert_eq!(world.env.flows.get(&(world.table(), tuple)), Some(&stranger));
}

/// Beside a flow of the same tuple a connection may be left that nobody asked for meanwhile.
#[test]
fn a_connection_that_is_ending_is_not_taken_over() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    world.establish(&INGRESS, CLUSTER, &EGRESS);
    world.send(&INGRESS, CLIENT, CLUSTER, FIN);
    let mut other = World::without_connections(FAMILIES[0], (1, 3, 8080));
    other.send(&INGRESS, CLIENT, CLUSTER, SYN);
    other.send(&INGRESS, CLIENT, CLUSTER, RST);
    world.env.flows = other.env.flows;
    world.replace_endpoint(NEXT);
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::Opened);
    assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
}

/// As long as an ended connection may still get segments again, its end is not another's.
#[test]
fn a_connection_that_is_over_keeps_its_place_against_other_frontends() {
    for (other, reason) in [(NEXT, Reason::Opened), (LOCAL, Reason::PortExchanged)] {
        let mut world = World::tcp(FAMILIES[0], LOCAL);
        let first = world.establish(&INGRESS, CLUSTER, &EGRESS);
        world.send(&INGRESS, CLIENT, CLUSTER, FIN);
        world.pass(&EGRESS, first, FIN);
        second_to(&mut world, other);
        assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN).0, reason);
        assert_eq!(kept(&world), (1, 2));
        assert_eq!(world.pass(&EGRESS, first, FIN).0, Reason::Reply, "sent again");
        assert_eq!(world.to(), world.tuple(CLUSTER, CLIENT));
    }
}

#[test]
fn beyond_the_quota_nothing_becomes_a_connection() {
    let mut world = World::tcp(FAMILIES[0], LOCAL);
    world.env.rooms[0].quota = 1;
    for number in [1, 2] {
        world.send(&INGRESS, (30, 1, number), CLUSTER, SYN);
    }
    assert_eq!((kept(&world), world.tables()), ((1, 2), vec![world.spill(); 2]));
    world.send(&EGRESS, LOCAL, (30, 1, 1), SYN_ACK);
    world.send(&INGRESS, (30, 1, 1), CLUSTER, ACK);
    world.send(&INGRESS, (30, 1, 3), CLUSTER, SYN);
    assert_eq!((kept(&world), world.embryonic()), ((2, 2), 1));
}

#[test]
fn each_direction_is_written_by_its_own_packets() {
    let mut world = World::tcp(FAMILIES[1], LOCAL);
    world.establish(&INGRESS, CLUSTER, &EGRESS);
    let halves =
        |world: &World| world.env.connections.values().map(|held| (held.client, held.reply)).next().expect("a connection");
    let before = halves(&world);
    world.env.now += 7;
    world.send(&INGRESS, CLIENT, CLUSTER, FIN);
    let after = halves(&world);
    assert_eq!((after.0.seen, after.1), (world.env.now, before.1));
    world.env.now += 7;
    world.send(&EGRESS, LOCAL, CLIENT, FIN);
    assert_eq!((halves(&world).0, halves(&world).1.seen), (after.0, world.env.now));
    assert!(world.env.connections.values().all(crate::abi::Connection::is_over));
}

//! S43: a client keeps its backend.

use super::world::{CLUSTER, End, FAMILIES, INGRESS, NODE_PORT, SECOND, SERVICE, SYN, World, at};
use crate::abi::{Addr, BackendId, BackendState, Family, Port, Reason, ServiceFlags};
use crate::lb::{Caller, Dialled, connect};

const TIMEOUT: u32 = 10_000;
const MANY: u8 = 50;

/// The first Service has many endpoints and affinity.
fn sticky(family: Family) -> World {
    let mut world = World::tcp(family, (1, 1, 8080));
    let ids: Vec<BackendId> = (1..=MANY).map(|host| world.replace_endpoint((1, host, 8080))).collect();
    world.env.set_sets(SERVICE, &ids, &ids[..1], ServiceFlags::ENDPOINTS);
    world.env.descriptors.last_mut().expect("it is there").affinity = TIMEOUT;
    world
}

/// Where a new connection of the client goes.
fn dial(world: &mut World, host: u8, port: u16, frontend: End) -> Addr {
    assert_eq!(world.send(&INGRESS, (30, host, port), frontend, SYN).0, Reason::Opened);
    world.to().dst
}

fn dial_socket(world: &mut World, netns: u64, socket: u64) -> Addr {
    let (addr, port) = (at(world.family, CLUSTER.0, CLUSTER.1), Port::new(CLUSTER.2));
    match connect(&mut world.env, Caller { netns, socket, source: Addr::ANY_V6 }, addr, port, world.proto) {
        Dialled::Backend(state) => state.backend_addr,
        other => panic!("{other:?}"),
    }
}

#[test]
fn s43_a_client_keeps_its_backend_over_the_frontends_of_a_port_and_not_across_ports() {
    for family in FAMILIES {
        let mut world = sticky(family);
        let first = dial(&mut world, 1, 40_000, CLUSTER);
        for port in 40_001..40_010 {
            assert_eq!(dial(&mut world, 1, port, CLUSTER), first);
            assert_eq!(dial(&mut world, 1, port + 1_000, NODE_PORT), first);
        }
        let others: Vec<Addr> = (2..20).map(|host| dial(&mut world, host, 40_000, CLUSTER)).collect();
        assert!(others.iter().any(|other| *other != first), "another client has its own");
        assert_eq!(dial(&mut world, 1, 40_000, SECOND), at(family, 1, 1), "another service port is none of its business");
        assert_eq!(world.env.affinity.len(), 19);
    }
}

#[test]
fn s43_the_time_counts_from_the_last_new_connection() {
    let mut world = sticky(Family::V4);
    let first = dial(&mut world, 1, 40_000, CLUSTER);
    for port in 40_001..40_010 {
        world.env.now = world.env.now.wrapping_add(TIMEOUT);
        assert_eq!(dial(&mut world, 1, port, CLUSTER), first);
    }
    let drawn: Vec<Addr> = (40_010..40_020)
        .map(|port| {
            world.env.now = world.env.now.wrapping_add(TIMEOUT + 1);
            dial(&mut world, 1, port, CLUSTER)
        })
        .collect();
    assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]), "{drawn:?}");
}

#[test]
fn s43_a_backend_that_left_the_set_or_is_another_is_given_up() {
    for (state, generation) in [(BackendState::SERVING, None), (BackendState::SERVING.with(BackendState::IN_BOTH), Some(7))] {
        let mut world = sticky(Family::V6);
        let first = dial(&mut world, 1, 40_000, CLUSTER);
        let id = world.env.backends.iter().rposition(|backend| backend.addr == first).expect("it was chosen");
        world.env.states[id] = state;
        if let Some(generation) = generation {
            world.env.backends[id].generation.0 = generation;
        }
        let again: Vec<Addr> = (40_001..40_004).map(|port| dial(&mut world, 1, port, CLUSTER)).collect();
        assert!(
            again.iter().any(|other| *other != first) && again.windows(2).all(|pair| pair[0] == pair[1] || pair[0] == first)
        );
    }
}

#[test]
fn s43_affinity_is_honoured_within_the_set_of_the_policy_alone() {
    let mut world = sticky(Family::V4);
    world.env.descriptors.last_mut().expect("it is there").flags = ServiceFlags::ENDPOINTS.with(ServiceFlags::EXTERNAL_LOCAL);
    let by_cluster = (1..20).map(|host| (host, dial(&mut world, host, 40_000, CLUSTER)));
    let by_cluster: Vec<(u8, Addr)> = by_cluster.collect();
    let only = at(Family::V4, 1, 1);
    assert!(by_cluster.iter().any(|(_, to)| *to != only));
    assert!(by_cluster.iter().all(|(host, _)| dial(&mut world, *host, 40_001, NODE_PORT) == only), "the Local set has one");
}

#[test]
fn s43_at_sockets_the_client_is_the_network_namespace() {
    for family in FAMILIES {
        let mut world = sticky(family);
        let first = dial_socket(&mut world, 2, 1);
        assert!((2..20).all(|socket| dial_socket(&mut world, 2, socket) == first));
        assert!((3..20).any(|netns| dial_socket(&mut world, netns, 1) != first));
    }
}

//! The choice of a backend.

use super::world::{CLIENT, CLUSTER, FAMILIES, INGRESS, NODE_PORT, SERVICE, SYN, World};
use crate::abi::{Addr, BackendId, Frontend, FrontendKind, Reason, ServiceFlags, ServiceWord};
use crate::lb::select::{Choice, Selected, scale, select};
use crate::lb::{Client, Env, Identity, Path};
use proptest::prelude::*;

#[test]
fn the_choice_is_uniform() {
    // The 99.9 % point of chi-square, after Wilson and Hilferty; the seed is fixed, so this passes or fails for good.
    let critical = |freedom: f64| {
        let spread = 2.0 / (9.0 * freedom);
        freedom * (1.0 - spread + 3.09 * spread.sqrt()).powi(3)
    };
    for count in [2_usize, 3, 7, 100] {
        let mut world = World::tcp(FAMILIES[0], (1, 1, 80));
        let ids: Vec<BackendId> = (0..count).map(|host| world.replace_endpoint((1, host as u8, 80))).collect();
        world.env.set_slots(SERVICE, &ids);
        let frontend = Frontend { service: SERVICE, kind: FrontendKind::CLUSTER_IP };
        let draws = 1_000 * count;
        let mut chosen = vec![0_u32; count];
        for _ in 0..draws {
            let Selected::Backend(chose) =
                select(&mut world.env, frontend, Client::Stranger, Identity::Namespace(2, &Addr::ANY_V6), None)
            else {
                panic!("no backend")
            };
            let Choice { id, backend, .. } = chose;
            assert_eq!(Some(backend), world.env.backend(id));
            chosen[ids.iter().position(|held| *held == id).expect("one of the set")] += 1;
        }
        let chi: f64 = chosen.iter().map(|&n| (f64::from(n) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(chi < critical(count as f64 - 1.0), "{count} backends: chi-square {chi}, {chosen:?}");
    }
}

proptest! {
    #[test]
    fn a_scaled_number_is_below_the_count(random: u32, count in 1_u32..) {
        prop_assert!(scale(random, count) < count);
        prop_assert_eq!(scale(u32::MAX, count), count - 1);
        prop_assert_eq!(scale(0, count), 0);
    }
}

#[test]
fn a_service_that_is_not_there_touches_nothing() {
    let mut world = World::tcp(FAMILIES[0], (1, 1, 80));
    world.env.services[SERVICE.0 as usize] = ServiceWord::NONE;
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Untouched, Path::Pass));
}

#[test]
fn a_service_without_endpoints_is_refused_at_every_frontend() {
    for family in FAMILIES {
        let mut world = World::tcp(family, (1, 1, 80));
        world.env.set_slots(SERVICE, &[]);
        for frontend in [CLUSTER, NODE_PORT] {
            assert_eq!(world.send(&INGRESS, CLIENT, frontend, SYN), (Reason::NoEndpoint, Path::Reject));
        }
    }
}

/// The first Service with 64 slots that are of another backend each, chosen by client.
fn maglev(world: &mut World) -> Vec<BackendId> {
    let ids: Vec<BackendId> = (0..64).map(|host| world.replace_endpoint((2, 10 + host, 80))).collect();
    world.env.set_sets(SERVICE, &ids, &[], ServiceFlags::ENDPOINTS.with(ServiceFlags::MAGLEV));
    ids
}

#[test]
fn s20_a_client_has_one_slot_of_a_maglev_table_at_every_node_and_hook() {
    for family in FAMILIES {
        let (mut world, mut other) = (World::tcp(family, (1, 1, 80)), World::tcp(family, (1, 1, 80)));
        other.env.random(); // Another node's dice.
        let ids = maglev(&mut world);
        assert_eq!(ids, maglev(&mut other));
        let mut hit = std::collections::BTreeMap::<u32, u32>::new();
        for port in 0..2_000 {
            let client = (30, 1, 30_000 + port);
            assert_eq!(world.send(&INGRESS, client, NODE_PORT, SYN).0, Reason::Opened);
            assert_eq!(other.send(&super::world::XDP, client, NODE_PORT, SYN).0, Reason::Opened);
            assert_eq!(world.scratch.flow.backend, other.scratch.flow.backend, "port {port}");
            *hit.entry(world.scratch.flow.backend.0).or_default() += 1;
        }
        // 31 connections a slot on average.
        assert!(hit.len() == 64 && hit.values().all(|count| (10..65).contains(count)), "{hit:?}");
    }
}

#[test]
fn s20_sockets_draw_a_slot_of_a_maglev_table() {
    let mut world = World::tcp(FAMILIES[0], (1, 1, 80));
    maglev(&mut world);
    let frontend = Frontend { service: SERVICE, kind: FrontendKind::CLUSTER_IP };
    let identity = Identity::Namespace(2, &Addr::ANY_V6);
    let hit: std::collections::BTreeSet<u32> = (0..1_000)
        .filter_map(|_| match select(&mut world.env, frontend, Client::Stranger, identity, None) {
            Selected::Backend(Choice { id, .. }) => Some(id.0),
            _ => None,
        })
        .collect();
    assert_eq!(hit.len(), 64);
}

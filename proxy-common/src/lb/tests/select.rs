//! The choice of a backend.

use super::world::{CLIENT, CLUSTER, FAMILIES, INGRESS, NODE_PORT, SERVICE, SYN, World};
use crate::abi::{Addr, BackendId, Frontend, FrontendKind, Reason, ServiceWord};
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
                select(&mut world.env, frontend, Client::Stranger, Identity::Namespace(2, &Addr::ANY_V6))
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

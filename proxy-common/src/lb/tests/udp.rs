//! Flows of UDP: each datagram is judged by whether its backend still serves (S46, S47).

use super::world::{CLIENT, CLUSTER, EGRESS, FAMILIES, INGRESS, NODE_PORT, SERVICE, World};
use crate::abi::{BackendState, Family, Frontend, FrontendKey, FrontendKind, Port, Proto, Reason, ServiceId};
use crate::lb::Path;

const LOCAL: (u8, u8, u16) = (1, 1, 53);
const NEXT: (u8, u8, u16) = (1, 2, 53);

#[test]
fn datagrams_keep_to_a_backend_that_serves() {
    for family in FAMILIES {
        let mut world = World::udp(family, LOCAL);
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0), (Reason::Opened, Path::Stack));
        world.env.states[1] = BackendState::SERVING;
        world.replace_endpoint(NEXT);
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0).0, Reason::Forward, "it terminates, and still serves");
        assert_eq!(world.embryonic(), 1);
        assert_eq!(world.send(&EGRESS, LOCAL, CLIENT, 0).0, Reason::Reply);
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0).0, Reason::Forward);
        assert_eq!(world.to(), world.tuple(CLIENT, LOCAL));
        assert_eq!((world.embryonic(), world.is_established(CLUSTER)), (0, true));
    }
}

#[test]
fn the_next_datagram_reaches_another_when_the_backend_stops_serving() {
    for answered in [false, true] {
        let mut world = World::udp(FAMILIES[1], LOCAL);
        world.send(&INGRESS, CLIENT, CLUSTER, 0);
        if answered {
            world.send(&EGRESS, LOCAL, CLIENT, 0);
            world.send(&INGRESS, CLIENT, CLUSTER, 0);
        }
        world.env.states[1] = BackendState::default();
        world.replace_endpoint(NEXT);
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0).0, Reason::Opened);
        assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
        assert_eq!(world.send(&EGRESS, NEXT, CLIENT, 0).0, Reason::Reply);
        assert_eq!(world.to(), world.tuple(CLUSTER, CLIENT));
        assert_eq!(world.env.flows.len(), 2, "{}", world.dump());
    }
}

#[test]
fn a_held_flow_is_refused_while_nobody_serves_and_served_again_afterwards() {
    let mut world = World::udp(FAMILIES[0], LOCAL);
    world.send(&INGRESS, CLIENT, CLUSTER, 0);
    world.retire(1);
    world.env.set_slots(SERVICE, &[]);
    for _ in 0..2 {
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0), (Reason::NoEndpoint, Path::Reject));
        assert_eq!(world.env.flows.len(), 0);
    }
    world.replace_endpoint(NEXT);
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, 0).0, Reason::Opened);
}

#[test]
fn s13_a_flow_ends_with_the_frontend_that_was_dialled() {
    for family in FAMILIES {
        for answered in [false, true] {
            let mut world = World::udp(family, LOCAL);
            world.send(&INGRESS, CLIENT, NODE_PORT, 0);
            if answered {
                world.send(&EGRESS, LOCAL, CLIENT, 0);
            }
            assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, 0).0, Reason::Forward);
            world.env.frontends.remove(&node_port(family));
            assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, 0), (Reason::Untouched, Path::Pass));
            assert_eq!((world.env.flows.len(), world.embryonic()), (0, 0), "{}", world.dump());
        }
    }
}

#[test]
fn s13_a_frontend_that_moves_to_another_service_takes_its_flows_along() {
    for family in FAMILIES {
        let mut world = World::udp(family, LOCAL);
        world.send(&INGRESS, CLIENT, NODE_PORT, 0);
        let service = world.env.add_service(&[world.endpoint(NEXT)]);
        world.env.frontends.insert(node_port(family), Frontend { service, kind: FrontendKind::NODE_PORT });
        assert_ne!(service, ServiceId(1));
        assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, 0).0, Reason::Opened);
        assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
    }
}

fn node_port(family: Family) -> FrontendKey {
    FrontendKey::new(family.any(), Port::new(NODE_PORT.2), Proto::UDP)
}

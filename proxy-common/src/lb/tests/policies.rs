//! Traffic policies: which set a client gets, and what an empty one means (S21, S22, S23, S31, S32, S33).

use super::world::{CLIENT, CLUSTER, End, FAMILIES, INGRESS, MADE_HERE, NODE_PORT, SERVICE, SYN, World, XDP, at};
use crate::abi::{BackendId, Cidr, Family, FlowFlags, Port, Reason, ServiceFlags};
use crate::lb::{Caller, Dialled, Path, Sent, connect, send};

const LOCAL: End = (1, 1, 8080);
const REMOTE: End = (2, 1, 8080);
/// A client in the prefix of pods.
const POD: End = (1, 9, 40_000);
const NODE: End = (20, 1, 40_000);
const OWN: Caller = Caller { netns: 1, socket: 7 };
const OTHER: Caller = Caller { netns: 2, socket: 8 };

const EXTERNAL: ServiceFlags = ServiceFlags::EXTERNAL_LOCAL.with(ServiceFlags::ENDPOINTS);
const INTERNAL: ServiceFlags = ServiceFlags::INTERNAL_LOCAL.with(ServiceFlags::ENDPOINTS);

/// A Service whose Cluster set is the remote endpoint, and whose Local set is the local one, if that is there.
fn world(family: Family, flags: ServiceFlags, with_local: bool) -> World {
    let mut world = World::tcp(family, REMOTE);
    let ids = [REMOTE, LOCAL].map(|end| {
        let (addr, port, flags) = world.endpoint(end);
        world.env.add_backend(addr, port, flags)
    });
    let local: &[BackendId] = if with_local { &ids[1..] } else { &[] };
    world.env.set_sets(SERVICE, &ids[..1], local, flags);
    world
}

fn detect(world: &mut World) {
    world.env.config.cluster_cidrs = [Cidr::new(at(Family::V4, 1, 0), 112), Cidr::new(at(Family::V6, 1, 0), 48)];
}

/// Where a packet from `client` to `frontend` goes, and whether its source stays.
fn goes(world: &mut World, client: End, frontend: End) -> Result<(End, bool), (Reason, Path)> {
    let place = if client == NODE { &MADE_HERE } else { &INGRESS };
    let (reason, path) = world.send(place, client, frontend, SYN);
    if reason != Reason::Opened {
        return Err((reason, path));
    }
    let to = world.to();
    let end = [LOCAL, REMOTE].into_iter().find(|end| at(world.family, end.0, end.1) == to.dst).expect("an endpoint");
    let entry = world.entry(&world.tuple(client, frontend)).expect("the client's entry");
    Ok((end, !entry.flags.has(FlowFlags::MASQUERADE)))
}

fn dials(world: &mut World, caller: Caller, (net, host, port): End) -> Option<End> {
    match connect(&mut world.env, caller, at(world.family, net, host), Port::new(port), world.proto) {
        Dialled::Backend(state) => [LOCAL, REMOTE].into_iter().find(|end| at(world.family, end.0, end.1) == state.backend_addr),
        Dialled::Untouched => None,
        Dialled::Refused(reason) => panic!("refused: {reason:?}"),
    }
}

#[test]
fn s22_internal_policy_local_chooses_from_the_local_set_and_drops_without_one() {
    for family in FAMILIES {
        for client in [CLIENT, POD] {
            assert_eq!(goes(&mut world(family, INTERNAL, true), client, CLUSTER), Ok((LOCAL, true)));
            assert_eq!(goes(&mut world(family, INTERNAL, false), client, CLUSTER), Err((Reason::NoLocalEndpoint, Path::Drop)));
        }
        // The external frontends keep to their own policy.
        assert_eq!(goes(&mut world(family, INTERNAL, true), CLIENT, NODE_PORT), Ok((REMOTE, false)));
        for caller in [OWN, OTHER] {
            assert_eq!(dials(&mut world(family, INTERNAL, true), caller, CLUSTER), Some(LOCAL));
            assert_eq!(dials(&mut world(family, INTERNAL, false), caller, CLUSTER), None, "left to the edge");
            assert_eq!(dials(&mut world(family, INTERNAL, true), caller, NODE_PORT), Some(REMOTE));
        }
    }
}

#[test]
fn s23_s33_external_policy_local_keeps_the_address_and_drops_without_a_local_endpoint() {
    for family in FAMILIES {
        assert_eq!(goes(&mut world(family, EXTERNAL, true), CLIENT, NODE_PORT), Ok((LOCAL, true)));
        assert_eq!(goes(&mut world(family, EXTERNAL, false), CLIENT, NODE_PORT), Err((Reason::NoLocalEndpoint, Path::Drop)));
        let mut at_xdp = world(family, EXTERNAL, false);
        assert_eq!(at_xdp.send(&XDP, CLIENT, NODE_PORT, SYN), (Reason::Deferred, Path::Pass), "tc drops it");
        assert_eq!(at_xdp.env.flows.len(), 0);
        // The ClusterIP keeps to its own policy.
        assert_eq!(goes(&mut world(family, EXTERNAL, false), CLIENT, CLUSTER), Ok((REMOTE, true)));
    }
}

#[test]
fn s31_a_local_pod_gets_the_cluster_set_with_a_detector_alone() {
    for family in FAMILIES {
        for with_local in [true, false] {
            let mut with = world(family, EXTERNAL, with_local);
            detect(&mut with);
            assert_eq!(goes(&mut with, POD, NODE_PORT), Ok((REMOTE, true)), "not masqueraded");
            assert_eq!(dials(&mut with, OTHER, NODE_PORT), Some(REMOTE));
        }
        let mut without = world(family, EXTERNAL, true);
        assert_eq!(goes(&mut without, POD, NODE_PORT), Ok((LOCAL, true)));
        assert_eq!(dials(&mut without, OTHER, NODE_PORT), Some(LOCAL));
        let mut nobody = world(family, EXTERNAL, false);
        assert_eq!(goes(&mut nobody, POD, NODE_PORT), Err((Reason::NoLocalEndpoint, Path::Drop)));
        assert_eq!(dials(&mut nobody, OTHER, NODE_PORT), None, "left to the edge");
        // A stranger gets the Local set, detector or not.
        let mut detected = world(family, EXTERNAL, true);
        detect(&mut detected);
        assert_eq!(goes(&mut detected, CLIENT, NODE_PORT), Ok((LOCAL, true)));
    }
}

#[test]
fn s32_this_node_gets_the_cluster_set() {
    for family in FAMILIES {
        for with_local in [true, false] {
            let mut world = world(family, EXTERNAL, with_local);
            assert_eq!(dials(&mut world, OWN, NODE_PORT), Some(REMOTE));
            let (reason, path) = world.send(&MADE_HERE, (20, 7, 40_000), NODE_PORT, SYN);
            assert_eq!((reason, path, world.to().dst), (Reason::Opened, Path::Out, at(family, REMOTE.0, REMOTE.1)));
        }
    }
}

#[test]
fn s21_no_endpoint_anywhere_is_rejected_whatever_the_policy() {
    for family in FAMILIES {
        let flags = ServiceFlags::INTERNAL_LOCAL.with(ServiceFlags::EXTERNAL_LOCAL);
        let mut world = world(family, flags, false);
        world.env.set_sets(SERVICE, &[], &[], flags);
        for (client, frontend) in [(CLIENT, CLUSTER), (CLIENT, NODE_PORT), (NODE, CLUSTER)] {
            assert_eq!(goes(&mut world, client, frontend), Err((Reason::NoEndpoint, Path::Reject)));
        }
        let (addr, port) = (at(family, CLUSTER.0, CLUSTER.1), Port::new(CLUSTER.2));
        for caller in [OWN, OTHER] {
            let dialled = connect(&mut world.env, caller, addr, port, world.proto);
            assert_eq!(dialled, Dialled::Refused(Reason::NoEndpoint));
        }
    }
}

#[test]
fn s28_a_datagram_that_an_edge_drops_is_left_alone_and_the_next_is_judged_anew() {
    for family in FAMILIES {
        let mut world = World::udp(family, REMOTE);
        world.env.set_sets(SERVICE, &[BackendId(1)], &[], INTERNAL);
        let (addr, port) = (at(family, CLUSTER.0, CLUSTER.1), Port::new(CLUSTER.2));
        assert_eq!(send(&mut world.env, OTHER, addr, port), Sent::Untouched);
        assert_eq!((world.env.peers.len(), world.connections()), (0, 0));
        world.env.set_sets(SERVICE, &[BackendId(1)], &[BackendId(1)], INTERNAL);
        assert!(matches!(send(&mut world.env, OTHER, addr, port), Sent::To(_, _, Reason::Opened)));
    }
}

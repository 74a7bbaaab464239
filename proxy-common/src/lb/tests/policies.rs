//! Traffic policies: which set a client gets, and what an empty one means (S21, S22, S23, S31, S32, S33).

use super::world::{ACK, CLIENT, CLUSTER, End, FAMILIES, INGRESS, MADE_HERE, NODE_PORT, SERVICE, SYN, World, XDP, at};
use crate::abi::{
    Addr, AddressFlags, BackendId, Cidr, Family, FlowFlags, Frontend, FrontendKey, FrontendKind, Masquerade, Port, Proto,
    Reason, ServiceFlags,
};
use crate::lb::{Caller, Dialled, Path, Sent, connect, send};

const LOCAL: End = (1, 1, 8080);
const REMOTE: End = (2, 1, 8080);
/// A client in the prefix of pods.
const POD: End = (1, 9, 40_000);
const NODE: End = (20, 1, 40_000);
const OWN: Caller = Caller { netns: 1, socket: 7, source: Addr::ANY_V6 };
const OTHER: Caller = Caller { netns: 2, socket: 8, source: Addr::ANY_V6 };

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
fn s33_external_policy_local_keeps_the_address_even_if_all_else_is_masqueraded() {
    for family in FAMILIES {
        let mut world = world(family, EXTERNAL, true);
        world.env.config.masquerade = Masquerade::EXTERNAL;
        assert_eq!(goes(&mut world, CLIENT, NODE_PORT), Ok((LOCAL, true)));
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
fn s12_s41_addresses_from_outside_are_external() {
    let address: End = (50, 1, 80);
    for family in FAMILIES {
        for kind in [FrontendKind::EXTERNAL_IP, FrontendKind::LOAD_BALANCER] {
            let dialled = |flags, with_local| {
                let mut world = world(family, flags, with_local);
                world.frontend(address, kind, SERVICE);
                world
            };
            assert_eq!(goes(&mut dialled(EXTERNAL, true), CLIENT, address), Ok((LOCAL, true)));
            assert_eq!(goes(&mut dialled(EXTERNAL, false), CLIENT, address), Err((Reason::NoLocalEndpoint, Path::Drop)));
            assert_eq!(goes(&mut dialled(INTERNAL, false), CLIENT, address), Ok((REMOTE, false)));
            assert_eq!(dials(&mut dialled(EXTERNAL, true), OWN, address), Some(REMOTE));
            assert_eq!(dials(&mut dialled(EXTERNAL, true), OTHER, address), Some(LOCAL));
        }
    }
}

#[test]
fn s27_an_address_from_outside_at_another_port_is_not_touched() {
    let (address, other_port): (End, End) = ((50, 1, 80), (50, 1, 81));
    for family in FAMILIES {
        for kind in [FrontendKind::EXTERNAL_IP, FrontendKind::LOAD_BALANCER] {
            let mut world = world(family, EXTERNAL, true);
            world.frontend(address, kind, SERVICE);
            assert_eq!(goes(&mut world, CLIENT, other_port), Err((Reason::Untouched, Path::Pass)));
            assert_eq!(dials(&mut world, OWN, other_port), None);
        }
    }
}

#[test]
fn s56_a_cluster_ip_on_a_device_of_this_node_is_left_alone_and_others_are_not() {
    let address: End = (50, 1, 80);
    for family in FAMILIES {
        let mut world = world(family, INTERNAL, true);
        world.frontend(address, FrontendKind::LOAD_BALANCER, SERVICE);
        for (net, host, _) in [CLUSTER, address] {
            world.env.addresses.insert(at(family, net, host), AddressFlags::LOCAL);
        }
        assert_eq!(goes(&mut world, CLIENT, CLUSTER), Err((Reason::Untouched, Path::Pass)));
        assert_eq!(dials(&mut world, OTHER, CLUSTER), None);
        assert_eq!(dials(&mut world, OWN, CLUSTER), None);
        assert_eq!(goes(&mut world, CLIENT, address), Ok((REMOTE, false)));
        assert_eq!(dials(&mut world, OTHER, address), Some(REMOTE));
    }
}

#[test]
fn s25_a_cluster_ip_rejects_other_ports_and_protocols_at_every_hook() {
    for family in FAMILIES {
        let mut world = world(family, EXTERNAL, true);
        let rest = FrontendKey::rest_of(at(family, CLUSTER.0, CLUSTER.1));
        world.env.frontends.insert(rest, Frontend { service: SERVICE, kind: FrontendKind::CLUSTER_REST });
        let other_port = (CLUSTER.0, CLUSTER.1, 81);
        for client in [CLIENT, POD, NODE] {
            assert_eq!(goes(&mut world, client, other_port), Err((Reason::UnknownPort, Path::Reject)));
        }
        assert_eq!(world.send(&INGRESS, CLIENT, other_port, ACK), (Reason::MidFlow, Path::Pass), "somebody else's connection");
        let addr = at(family, CLUSTER.0, CLUSTER.1);
        for (port, proto) in [(81, Proto::TCP), (80, Proto::UDP)] {
            let dialled = connect(&mut world.env, OTHER, addr, Port::new(port), proto);
            assert_eq!(dialled, Dialled::Refused(Reason::UnknownPort));
        }
        assert_eq!(send(&mut world.env, OWN, addr, Port::new(80)), Sent::Refused(Reason::UnknownPort));
        assert_eq!(goes(&mut world, CLIENT, CLUSTER), Ok((REMOTE, true)));
        // S56
        world.env.addresses.insert(addr, AddressFlags::LOCAL);
        assert_eq!(goes(&mut world, CLIENT, other_port), Err((Reason::Untouched, Path::Pass)));
    }
}

#[test]
fn s26_unallocated_addresses_of_a_service_cidr_are_dropped_and_those_of_this_node_are_not() {
    for family in FAMILIES {
        let mut world = world(family, EXTERNAL, true);
        let (unallocated, outside): (End, End) = ((96, 77, 80), (97, 77, 80));
        assert_eq!(goes(&mut world, CLIENT, unallocated), Err((Reason::Untouched, Path::Pass)), "no ServiceCIDR is known");
        world.env.config.service_cidrs[3] = Cidr::new(at(family, 96, 0), if family == Family::V4 { 112 } else { 48 });
        world.env.config.service_cidr_count = 1;
        for client in [CLIENT, NODE] {
            assert_eq!(goes(&mut world, client, unallocated), Err((Reason::Unallocated, Path::Drop)));
            assert_eq!(goes(&mut world, client, outside), Err((Reason::Untouched, Path::Pass)));
        }
        assert_eq!(world.send(&XDP, CLIENT, unallocated, SYN), (Reason::Deferred, Path::Pass), "tc drops it");
        assert_eq!(world.send(&INGRESS, CLIENT, unallocated, ACK), (Reason::Untouched, Path::Pass));
        assert_eq!(dials(&mut world, OTHER, unallocated), None, "left to the edge");
        assert_eq!(goes(&mut world, CLIENT, CLUSTER), Ok((REMOTE, true)));
        world.env.addresses.insert(at(family, unallocated.0, unallocated.1), AddressFlags::LOCAL);
        assert_eq!(goes(&mut world, CLIENT, unallocated), Err((Reason::Untouched, Path::Pass)), "S56");
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
        assert_eq!((world.env.peers.len(), world.opened()), (0, 0));
        world.env.set_sets(SERVICE, &[BackendId(1)], &[BackendId(1)], INTERNAL);
        assert!(matches!(send(&mut world.env, OTHER, addr, port), Sent::To(_, _, Reason::Opened)));
    }
}

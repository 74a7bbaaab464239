//! Source ranges: who may dial a load balancer's addresses (S24, S42).

use super::world::{ACK, CLIENT, CLUSTER, End, FAMILIES, INGRESS, MADE_HERE, NODE_PORT, SERVICE, SYN, World, XDP, at};
use crate::abi::{Addr, AddressFlags, Family, FrontendKind, Port, Reason, ServiceFlags, SourceRange};
use crate::lb::{Caller, Dialled, Path, Sent, connect, send};

const LOCAL: End = (1, 1, 8080);
const BALANCED: End = (50, 1, 80);
const EXTERNAL: End = (51, 1, 80);
/// A client outside the range.
const STRANGER: End = (31, 1, 40_000);
/// A pod, outside the range too.
const POD: End = (1, 9, 40_000);
const DROPPED: (Reason, Path) = (Reason::SourceRange, Path::Drop);

/// The client's network, as its ranges have it.
fn clients(family: Family) -> (Addr, u8) {
    (at(family, CLIENT.0, 0), if family == Family::V4 { 120 } else { 64 })
}

/// The first Service, with a load balancer's address for the client's network and an external one.
fn world(family: Family) -> World {
    dress(World::tcp(family, LOCAL))
}

fn dress(mut world: World) -> World {
    world.frontend(BALANCED, FrontendKind::LOAD_BALANCER, SERVICE);
    world.frontend(EXTERNAL, FrontendKind::EXTERNAL_IP, SERVICE);
    world.env.set_sources(SERVICE, &[clients(world.family)]);
    world
}

fn dials(world: &mut World, netns: u64, source: Addr, (net, host, port): End) -> Dialled {
    let caller = Caller { netns, socket: 9, source };
    connect(&mut world.env, caller, at(world.family, net, host), Port::new(port), world.proto)
}

#[test]
fn s24_who_dials_a_load_balancer_from_outside_the_ranges_is_dropped() {
    for family in FAMILIES {
        let mut world = world(family);
        assert_eq!(world.send(&INGRESS, CLIENT, BALANCED, SYN), (Reason::Opened, Path::Stack));
        for client in [STRANGER, POD] {
            assert_eq!(world.send(&INGRESS, client, BALANCED, SYN), DROPPED);
            assert_eq!(world.send(&XDP, client, BALANCED, SYN), (Reason::Deferred, Path::Pass), "tc drops it");
        }
        assert_eq!(world.held(), 2, "the client's flow alone");
        assert_eq!(world.opened(), 1);
    }
}

#[test]
fn s24_a_drop_comes_before_a_reject() {
    for family in FAMILIES {
        let mut world = world(family);
        for flags in [ServiceFlags::default(), ServiceFlags::EXTERNAL_LOCAL.with(ServiceFlags::ENDPOINTS)] {
            world.env.set_sets(SERVICE, &[], &[], flags);
            world.env.set_sources(SERVICE, &[clients(family)]);
            assert_eq!(world.send(&INGRESS, STRANGER, BALANCED, SYN), DROPPED);
            let allowed = world.send(&INGRESS, CLIENT, BALANCED, SYN).0;
            assert_eq!(allowed, if flags.has(ServiceFlags::ENDPOINTS) { Reason::NoLocalEndpoint } else { Reason::NoEndpoint });
        }
    }
}

#[test]
fn s24_ranges_without_a_prefix_let_nobody_in() {
    for family in FAMILIES {
        let mut world = world(family);
        world.env.set_sources(SERVICE, &[]);
        for client in [CLIENT, STRANGER, POD] {
            assert_eq!(world.send(&INGRESS, client, BALANCED, SYN), DROPPED);
        }
        world.env.set_sources(SERVICE, &[(at(family, 0, 0).any(), if family == Family::V4 { 96 } else { 0 })]);
        for client in [CLIENT, STRANGER, POD] {
            assert_eq!(world.send(&INGRESS, client, BALANCED, SYN).0, Reason::Opened, "a prefix of no bits holds everybody");
        }
    }
}

#[test]
fn s42_s41_other_frontends_are_not_covered() {
    for family in FAMILIES {
        for frontend in [NODE_PORT, EXTERNAL, CLUSTER] {
            let mut world = world(family);
            assert_eq!(world.send(&INGRESS, STRANGER, frontend, SYN).0, Reason::Opened);
            assert!(matches!(dials(&mut world, 2, Addr::ANY_V6, frontend), Dialled::Backend(_)));
            assert!(matches!(dials(&mut world, 1, Addr::ANY_V6, frontend), Dialled::Backend(_)));
        }
    }
}

#[test]
fn s24_flows_outlive_a_change_of_ranges_and_new_ones_do_not_begin() {
    for family in FAMILIES {
        let mut world = world(family);
        let place = super::world::EGRESS;
        world.establish(&INGRESS, BALANCED, &place);
        world.env.set_sources(SERVICE, &[(at(family, STRANGER.0, STRANGER.1), 128)]);
        assert_eq!(world.send(&INGRESS, CLIENT, BALANCED, ACK), (Reason::Forward, Path::Stack));
        assert_eq!(world.send(&INGRESS, (CLIENT.0, CLIENT.1, 40_001), BALANCED, SYN), DROPPED);
        assert_eq!(world.send(&INGRESS, STRANGER, BALANCED, SYN).0, Reason::Opened);
    }
}

#[test]
fn s24_this_node_is_judged_by_the_address_its_packets_have() {
    let node: End = (20, 1, 40_000);
    for family in FAMILIES {
        let mut world = world(family);
        assert_eq!(world.send(&MADE_HERE, node, BALANCED, SYN), DROPPED);
        world.env.set_sources(SERVICE, &[(at(family, 20, 1), 128)]);
        assert_eq!(world.send(&MADE_HERE, node, BALANCED, SYN).0, Reason::LocalUnreachable, "in a range, and judged further");
    }
}

#[test]
fn s24_at_sockets_a_process_of_the_node_has_the_bound_address_or_the_primary_one() {
    for family in FAMILIES {
        let mut world = world(family);
        for any in [Addr::ANY_V4, Addr::ANY_V6] {
            assert_eq!(dials(&mut world, 1, any, BALANCED), Dialled::Untouched, "no primary address is known");
        }
        world.env.config.primary = FAMILIES.map(|family| at(family, CLIENT.0, 77));
        for any in [Addr::ANY_V4, Addr::ANY_V6] {
            assert!(matches!(dials(&mut world, 1, any, BALANCED), Dialled::Backend(_)));
        }
        assert_eq!(dials(&mut world, 1, at(family, 20, 1), BALANCED), Dialled::Untouched, "bound, and left to the edge");
        assert_eq!(world.opened(), 2);
    }
}

#[test]
fn s24_at_sockets_a_pod_is_left_to_the_edge_unless_it_is_bound() {
    for family in FAMILIES {
        let mut world = world(family);
        world.env.config.primary = FAMILIES.map(|family| at(family, CLIENT.0, 77));
        assert_eq!(dials(&mut world, 2, Addr::ANY_V6, BALANCED), Dialled::Untouched);
        assert_eq!(dials(&mut world, 2, at(family, POD.0, POD.1), BALANCED), Dialled::Untouched);
        assert!(matches!(dials(&mut world, 2, at(family, CLIENT.0, 5), BALANCED), Dialled::Backend(_)));
        world.env.set_slots(SERVICE, &[]);
        world.env.set_sources(SERVICE, &[clients(family)]);
        assert_eq!(dials(&mut world, 2, Addr::ANY_V6, BALANCED), Dialled::Untouched, "before a reject");
    }
}

#[test]
fn s24_datagrams_of_unconnected_sockets_are_judged_once() {
    for family in FAMILIES {
        let mut world = dress(World::udp(family, LOCAL));
        let (addr, port) = (at(family, BALANCED.0, BALANCED.1), Port::new(BALANCED.2));
        let caller = |source| Caller { netns: 2, socket: 9, source };
        let [inside, outside] = [at(family, CLIENT.0, 5), at(family, POD.0, POD.1)];
        assert_eq!(send(&mut world.env, caller(outside), addr, port), Sent::Untouched);
        assert_eq!(send(&mut world.env, caller(Addr::ANY_V4), addr, port), Sent::Untouched);
        assert!(matches!(send(&mut world.env, caller(inside), addr, port), Sent::To(_, _, Reason::Opened)));
        world.env.set_sources(SERVICE, &[]);
        assert!(matches!(send(&mut world.env, caller(inside), addr, port), Sent::To(_, _, Reason::Forward)));
    }
}

#[test]
fn s24_a_load_balancer_address_on_a_device_of_this_node_is_covered_too() {
    for family in FAMILIES {
        let mut world = world(family);
        world.env.addresses.insert(at(family, BALANCED.0, BALANCED.1), AddressFlags::LOCAL);
        assert_eq!(world.send(&INGRESS, STRANGER, BALANCED, SYN), DROPPED);
        assert_eq!(world.send(&INGRESS, CLIENT, BALANCED, SYN).0, Reason::Opened);
    }
}

#[test]
fn bits_behind_a_prefix_do_not_count() {
    use crate::abi::{RangeSet, Source};
    let range = SourceRange::new(RangeSet(7), at(Family::V4, 30, 9), 120);
    assert_eq!((range.set(), range.addr(), range.bits()), (RangeSet(7), at(Family::V4, 30, 0), 120));
    let source = |set, addr| Source { set: RangeSet(set), addr };
    assert!(range.contains(&source(7, at(Family::V4, 30, 200))));
    assert!(!range.contains(&source(8, at(Family::V4, 30, 200))) && !range.contains(&source(7, at(Family::V4, 31, 9))));
    let everybody = SourceRange::new(RangeSet(1), at(Family::V6, 1, 1), 0);
    assert!(everybody.contains(&source(1, at(Family::V6, 9, 9))) && everybody.bits() == 0);
    assert_eq!(SourceRange::new(RangeSet(1), at(Family::V6, 1, 1), 200).bits(), 128);
}

//! Whose address an endpoint sees: S29, S30 and S36.

use super::world::{CLIENT, CLUSTER, End, FAMILIES, INGRESS, NODE_PORT, SYN, UPLINK, World, at};
use crate::abi::{AddressFlags, Cidr, DeviceFlags, Family, FlowFlags, Masquerade, Reason};
use crate::lb::Path;

const LOCAL: End = (1, 1, 8080);
const REMOTE: End = (2, 1, 8080);
const POD: End = (1, 9, 40_000);
const NODE_SOURCE: (u8, u8) = (20, 1);

/// With the detector on, sources in network 1 are local pods.
fn detect(world: &mut World) {
    let v4 = Cidr::new(at(Family::V4, 1, 0), 112);
    let v6 = Cidr::new(at(Family::V6, 1, 0), 48);
    world.env.config.cluster_cidrs = [v4, v6];
}

/// Whether a flow from `client` to `frontend` with the endpoint `backend` is masqueraded; all that follows from it is checked.
fn masqueraded(family: Family, backend: End, client: End, frontend: End, prepare: impl Fn(&mut World)) -> bool {
    let mut world = World::tcp(family, backend);
    prepare(&mut world);
    let (reason, path) = world.send(&INGRESS, client, frontend, SYN);
    assert_eq!(reason, Reason::Opened);
    let entry = world.entry(&world.tuple(client, frontend)).expect("the client's entry");
    let masqueraded = entry.flags.has(FlowFlags::MASQUERADE);
    let direct = world.tuple(client, backend);
    if masqueraded {
        assert_eq!(path, Path::Out);
        assert_eq!(world.to().src, at(family, NODE_SOURCE.0, NODE_SOURCE.1), "the route's source");
        assert!((50_000..51_000).contains(&world.to().sport.number()), "a port of the range");
        assert_eq!((world.to().dst, world.to().dport), (direct.dst, direct.dport));
    } else {
        assert_eq!((path, world.to()), (Path::Stack, direct));
    }
    masqueraded
}

#[test]
fn s29_a_cluster_ip_without_a_detector_is_never_masqueraded() {
    for family in FAMILIES {
        for backend in [LOCAL, REMOTE] {
            assert!(!masqueraded(family, backend, CLIENT, CLUSTER, |_| ()));
            assert!(!masqueraded(family, backend, POD, CLUSTER, |_| ()));
        }
    }
}

#[test]
fn s29_a_cluster_ip_with_a_detector_is_masqueraded_for_strangers_whatever_the_backend() {
    for family in FAMILIES {
        for backend in [LOCAL, REMOTE] {
            assert!(masqueraded(family, backend, CLIENT, CLUSTER, detect));
            assert!(!masqueraded(family, backend, POD, CLUSTER, detect));
        }
    }
}

#[test]
fn s30_a_node_port_is_masqueraded_towards_other_nodes_alone() {
    for family in FAMILIES {
        for prepare in [|_: &mut World| (), detect] {
            assert!(masqueraded(family, REMOTE, CLIENT, NODE_PORT, prepare));
            assert!(!masqueraded(family, LOCAL, CLIENT, NODE_PORT, prepare));
        }
    }
}

#[test]
fn s30_a_node_port_is_masqueraded_always_if_asked_for() {
    let always = |world: &mut World| world.env.config.masquerade = Masquerade::EXTERNAL;
    for family in FAMILIES {
        for backend in [LOCAL, REMOTE] {
            assert!(masqueraded(family, backend, CLIENT, NODE_PORT, always));
            assert!(!masqueraded(family, backend, CLIENT, CLUSTER, always), "S29 is another matter");
        }
    }
}

#[test]
fn s29_masquerade_all_needs_no_detector_and_spares_external_traffic() {
    let all = |world: &mut World| world.env.config.masquerade = Masquerade::ALL;
    for family in FAMILIES {
        assert!(masqueraded(family, LOCAL, CLIENT, CLUSTER, all));
        assert!(masqueraded(family, REMOTE, POD, CLUSTER, all));
        assert!(!masqueraded(family, LOCAL, CLIENT, NODE_PORT, all));
    }
}

#[test]
fn s38_a_detector_by_device_asks_where_the_packet_came_in() {
    let detect = |pods: DeviceFlags| {
        move |world: &mut World| {
            world.env.config.masquerade = Masquerade::BY_DEVICE;
            world.env.devices.insert(UPLINK, DeviceFlags::XDP_TARGET.with(pods));
        }
    };
    for family in FAMILIES {
        for client in [CLIENT, POD] {
            assert!(masqueraded(family, LOCAL, client, CLUSTER, detect(DeviceFlags::default())));
            assert!(!masqueraded(family, LOCAL, client, CLUSTER, detect(DeviceFlags::LOCAL_PODS)));
        }
    }
}

#[test]
fn s36_a_client_that_is_its_own_backend_is_masqueraded() {
    for family in FAMILIES {
        for backend in [LOCAL, REMOTE] {
            let hairpin = (backend.0, backend.1, 40_000);
            for frontend in [CLUSTER, NODE_PORT] {
                assert!(masqueraded(family, backend, hairpin, frontend, detect));
            }
        }
    }
}

#[test]
fn nothing_is_masqueraded_towards_an_address_of_this_node() {
    let own = |world: &mut World| {
        detect(world);
        world.env.addresses.insert(at(world.family, REMOTE.0, REMOTE.1), AddressFlags::LOCAL);
    };
    for family in FAMILIES {
        for (client, frontend) in [(CLIENT, NODE_PORT), (CLIENT, CLUSTER), ((REMOTE.0, REMOTE.1, 40_000), CLUSTER)] {
            assert!(!masqueraded(family, REMOTE, client, frontend, own));
        }
    }
}

#[test]
fn without_a_route_there_is_no_flow() {
    let mut world = World::tcp(Family::V4, REMOTE);
    world.env.routes.clear();
    assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, SYN), (Reason::NoRoute, Path::Drop));
    assert_eq!((world.env.flows.len(), world.opened()), (0, 0));
}

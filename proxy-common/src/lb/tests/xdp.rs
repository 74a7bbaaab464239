//! At XDP: what it cannot finish it leaves to tc as if it had never seen it.

use super::world::{CLIENT, CLUSTER, End, FAMILIES, INGRESS, NODE_PORT, SYN, World, XDP};
use crate::abi::Reason;
use crate::lb::Path;

const DEFERRED: (Reason, Path) = (Reason::Deferred, Path::Pass);

/// A first packet that XDP defers; tc then meets tables that nobody has touched.
fn defers(backend: End, prepare: impl Fn(&mut World), at_tc: (Reason, Path)) {
    for family in FAMILIES {
        let mut world = World::tcp(family, backend);
        prepare(&mut world);
        assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), DEFERRED);
        assert_eq!((world.env.flows.len(), world.opened()), (0, 0), "{}", world.dump());
        assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, SYN), at_tc);
    }
}

#[test]
fn a_neighbour_that_is_not_resolved_is_for_tc() {
    defers((4, 1, 8080), |_| (), (Reason::Opened, Path::Out));
}

#[test]
fn a_device_that_takes_no_frames_from_xdp_is_for_tc() {
    defers((3, 1, 8080), |_| (), (Reason::Opened, Path::Out));
}

#[test]
fn what_ends_here_ends_at_tc() {
    defers((2, 1, 8080), |world| world.env.set_slots(super::world::SERVICE, &[]), (Reason::NoEndpoint, Path::Reject));
    defers((2, 1, 8080), |world| world.env.routes.clear(), (Reason::NoRoute, Path::Drop));
    defers((2, 1, 8080), |world| world.env.set_ports(&[]), (Reason::PortsExhausted, Path::Drop));
    defers((2, 1, 8080), |world| world.env.capacity = [0; 2], (Reason::FlowTableFull, Path::Drop));
}

#[test]
fn what_it_can_finish_it_finishes() {
    for family in FAMILIES {
        let mut world = World::tcp(family, (2, 1, 8080));
        assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), (Reason::Opened, Path::Out));
        assert!(world.scratch.hop.has_link() && world.scratch.hop.by_xdp != 0);
        let mut world = World::tcp(family, (1, 1, 8080));
        assert_eq!(world.send(&XDP, CLIENT, CLUSTER, SYN), (Reason::Opened, Path::Stack));
    }
}

#[test]
fn a_flow_that_moves_to_another_way_is_for_tc_from_then_on() {
    let mut world = World::tcp(FAMILIES[0], (2, 1, 8080));
    world.send(&XDP, CLIENT, NODE_PORT, SYN);
    world.env.devices.clear();
    assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), (Reason::Forward, Path::Out), "the answer holds for an epoch");
    world.env.config.epoch += 1;
    assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), DEFERRED);
    assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, SYN), (Reason::Forward, Path::Out));
}

#[test]
fn a_flow_whose_way_xdp_learns_to_go_is_tc_s_no_longer() {
    let mut world = World::tcp(FAMILIES[0], (2, 1, 8080));
    let targets = core::mem::take(&mut world.env.devices);
    assert_eq!(world.send(&INGRESS, CLIENT, NODE_PORT, SYN), (Reason::Opened, Path::Out));
    assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), DEFERRED);
    world.env.devices = targets;
    world.env.config.epoch += 1;
    assert_eq!(world.send(&XDP, CLIENT, NODE_PORT, SYN), (Reason::Forward, Path::Out));
}

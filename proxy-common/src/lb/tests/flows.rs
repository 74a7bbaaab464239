//! Flows of TCP: how they are opened, kept, closed and opened again.

use super::world::{ACK, CLIENT, CLUSTER, EGRESS, FAMILIES, FIN, INGRESS, RST, SECOND, SYN, SYN_ACK, World};
use crate::abi::{BackendState, FlowFlags, Reason};
use crate::lb::Path;

const LOCAL: (u8, u8, u16) = (1, 1, 8080);
const NEXT: (u8, u8, u16) = (1, 2, 8080);

#[test]
fn a_first_packet_leaves_two_entries_that_name_each_other() {
    for family in FAMILIES {
        for mut world in World::connection_and_flow(family, LOCAL) {
            assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Opened, Path::Stack));
            assert_eq!(world.to(), world.tuple(CLIENT, LOCAL));
            let forward = world.entry(&world.tuple(CLIENT, CLUSTER)).expect("the client's entry");
            let reply = world.entry(&world.tuple(LOCAL, CLIENT)).expect("the reply's entry");
            assert_eq!(forward.to, world.tuple(CLIENT, LOCAL));
            assert_eq!(reply.to, world.tuple(CLUSTER, CLIENT));
            assert_eq!((forward.flags, reply.flags), (FlowFlags::FORWARD, FlowFlags::default()));
            assert_eq!((world.held(), world.opened()), (2, 1));
        }
    }
}

#[test]
fn a_flow_that_finds_no_room_leaves_nothing() {
    for room in [0, 1] {
        let mut world = World::without_connections(FAMILIES[0], LOCAL);
        world.env.capacity = [room; 2];
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::FlowTableFull, Path::Drop));
        assert_eq!((world.held(), world.opened()), (0, 0), "room for {room}");
    }
}

#[test]
fn the_middle_of_a_connection_that_is_not_ours_passes() {
    for mut world in World::connection_and_flow(FAMILIES[0], LOCAL) {
        for flags in [ACK, SYN_ACK, FIN, RST, 0, SYN | RST] {
            assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, flags), (Reason::MidFlow, Path::Pass), "{flags}");
        }
        assert_eq!(world.send(&INGRESS, CLIENT, (96, 9, 80), SYN), (Reason::Untouched, Path::Pass));
        assert_eq!(world.held(), 0);
    }
}

#[test]
fn a_syn_on_an_embryonic_flow_is_a_retransmission() {
    for family in FAMILIES {
        for mut world in World::connection_and_flow(family, LOCAL) {
            world.send(&INGRESS, CLIENT, CLUSTER, SYN);
            world.replace_endpoint(NEXT);
            assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Forward, Path::Stack));
            assert_eq!(world.to(), world.tuple(CLIENT, LOCAL));
            assert_eq!((world.held(), world.opened()), (2, 1));
        }
    }
}

#[test]
fn a_syn_on_a_flow_whose_backend_is_gone_selects_anew() {
    for family in FAMILIES {
        for established in [false, true] {
            for mut world in World::connection_and_flow(family, LOCAL) {
                if established {
                    world.establish(&INGRESS, CLUSTER, &EGRESS);
                } else {
                    world.send(&INGRESS, CLIENT, CLUSTER, SYN);
                }
                world.retire(1);
                world.replace_endpoint(NEXT);
                assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::Opened);
                assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
                assert_eq!(world.entry(&world.tuple(LOCAL, CLIENT)), None, "the old reply entry stays");
                assert_eq!((world.held(), world.embryonic()), (2, 1), "{}", world.dump());
            }
        }
    }
}

#[test]
fn a_generation_tells_the_users_of_an_id_apart() {
    for mut world in World::connection_and_flow(FAMILIES[0], LOCAL) {
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        let (addr, port, flags) = world.endpoint(NEXT);
        let generation = crate::abi::Generation(999);
        world.env.backends[1] = crate::abi::Backend { addr, port: crate::abi::Port::new(port), flags, generation };
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::Opened);
        assert_eq!(world.entry(&world.tuple(CLIENT, CLUSTER)).map(|flow| flow.generation), Some(generation));
    }
}

#[test]
fn a_syn_on_a_closing_flow_selects_anew() {
    for (from_client, flags) in [(true, FIN), (false, FIN), (true, RST), (false, RST)] {
        for established in [false, true] {
            for mut world in World::connection_and_flow(FAMILIES[0], LOCAL) {
                if established {
                    world.establish(&INGRESS, CLUSTER, &EGRESS);
                } else {
                    world.send(&INGRESS, CLIENT, CLUSTER, SYN);
                }
                if from_client {
                    world.send(&INGRESS, CLIENT, CLUSTER, flags);
                } else {
                    world.send(&EGRESS, LOCAL, CLIENT, flags);
                }
                world.replace_endpoint(NEXT);
                assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::Opened, "{from_client} {flags} {established}");
                assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
                assert_eq!(world.held(), 2, "{}", world.dump());
            }
        }
    }
}

#[test]
fn a_syn_on_an_established_flow_goes_through() {
    for family in FAMILIES {
        for mut world in World::connection_and_flow(family, LOCAL) {
            world.establish(&INGRESS, CLUSTER, &EGRESS);
            world.replace_endpoint(NEXT);
            assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Forward, Path::Stack));
            assert_eq!(world.to(), world.tuple(CLIENT, LOCAL));
            assert_eq!(world.opened(), 1);
        }
    }
}

#[test]
fn an_established_flow_lives_on_without_its_service_or_backend() {
    for mut world in World::connection_and_flow(FAMILIES[0], LOCAL) {
        let reply = world.establish(&INGRESS, CLUSTER, &EGRESS);
        world.retire(1);
        world.env.states[1] = BackendState::default();
        world.env.frontends.clear();
        for _ in 0..3 {
            world.env.now += 1_500;
            assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, ACK).0, Reason::Forward);
            assert_eq!(world.pass(&EGRESS, reply, ACK).0, Reason::Reply);
        }
    }
}

#[test]
fn a_flow_is_established_once_its_client_has_answered_the_reply() {
    for family in FAMILIES {
        for mut world in World::connection_and_flow(family, LOCAL) {
            for flags in [SYN, SYN, ACK] {
                world.send(&INGRESS, CLIENT, CLUSTER, flags);
                assert!(!world.is_established(CLUSTER), "nobody has replied");
            }
            world.send(&EGRESS, LOCAL, CLIENT, SYN_ACK);
            assert!(!world.is_established(CLUSTER), "the client has not answered");
            world.send(&INGRESS, CLIENT, CLUSTER, SYN);
            assert!(!world.is_established(CLUSTER), "a retransmission is no answer");
            world.send(&INGRESS, CLIENT, CLUSTER, ACK);
            assert!(world.is_established(CLUSTER));
        }
    }
}

#[test]
fn the_reply_entry_is_looked_for_each_second_and_restored() {
    for family in FAMILIES {
        let mut world = World::without_connections(family, LOCAL);
        let reply = world.establish(&INGRESS, CLUSTER, &EGRESS);
        let before = world.entry(&reply).expect("a reply entry");
        world.evict(&reply);
        world.env.now += 999;
        world.send(&INGRESS, CLIENT, CLUSTER, ACK);
        assert_eq!(world.entry(&reply), None);
        world.env.now += 1;
        world.send(&INGRESS, CLIENT, CLUSTER, ACK);
        let after = world.entry(&reply).expect("the entry is restored");
        assert_eq!((after.to, after.backend, after.generation), (before.to, before.backend, before.generation));
        assert_eq!(after.flags.without(FlowFlags::ANSWERED), before.flags.without(FlowFlags::ANSWERED));
        assert_eq!(world.pass(&EGRESS, reply, ACK), (Reason::Reply, Path::Stack));
        assert!(world.is_established(CLUSTER));
        let forward = world.entry(&world.tuple(CLIENT, CLUSTER)).expect("the client's entry");
        assert_eq!(forward.to, world.tuple(CLIENT, LOCAL), "the client's entry is as it was");
    }
}

#[test]
fn a_flow_whose_reply_tuple_another_has_taken_starts_anew() {
    let mut world = World::without_connections(FAMILIES[0], LOCAL);
    let reply = world.establish(&INGRESS, CLUSTER, &EGRESS);
    world.evict(&reply);
    assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN).0, Reason::Opened);
    world.env.now += 2_000;
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, ACK), (Reason::MidFlow, Path::Pass));
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::PortExchanged);
    assert_eq!(world.pass(&EGRESS, reply, SYN_ACK).0, Reason::Reply, "the other's reply is the other's");
    assert_eq!(world.to(), world.tuple(SECOND, CLIENT));
}

#[test]
fn one_client_port_may_dial_two_frontends_with_one_backend() {
    for family in FAMILIES {
        for mut world in World::connection_and_flow(family, LOCAL) {
            let first = world.establish(&INGRESS, CLUSTER, &EGRESS);
            assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN), (Reason::PortExchanged, Path::Stack));
            let to = world.to();
            assert_eq!((to.src, to.dst), (world.tuple(CLIENT, LOCAL).src, world.tuple(CLIENT, LOCAL).dst));
            assert_ne!(to.sport.number(), CLIENT.2);
            assert_eq!(world.pass(&EGRESS, to.reversed(), SYN_ACK).0, Reason::Reply);
            assert_eq!(world.to(), world.tuple(SECOND, CLIENT));
            assert_eq!(world.send(&INGRESS, CLIENT, SECOND, ACK).0, Reason::Forward);
            assert_eq!(world.pass(&EGRESS, first, ACK).0, Reason::Reply);
            assert_eq!(world.to(), world.tuple(CLUSTER, CLIENT));
            assert_eq!((world.held(), world.opened()), (4, 2));
        }
    }
}

#[test]
fn what_an_evicted_flow_left_behind_is_no_other_flow() {
    let mut world = World::without_connections(FAMILIES[0], LOCAL);
    world.establish(&INGRESS, CLUSTER, &EGRESS);
    let client = world.tuple(CLIENT, CLUSTER);
    world.evict(&client);
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Opened, Path::Stack));
    assert_eq!(world.to(), world.tuple(CLIENT, LOCAL));
    assert_eq!(world.held(), 2, "{}", world.dump());
}

#[test]
fn a_backend_that_accepts_a_connection_of_its_own_ends_a_flow_that_is_over() {
    for family in FAMILIES {
        for mut world in World::connection_and_flow(family, LOCAL) {
            world.establish(&INGRESS, CLUSTER, &EGRESS);
            world.send(&INGRESS, CLIENT, CLUSTER, FIN | ACK);
            world.pass(&EGRESS, world.tuple(LOCAL, CLIENT), FIN | ACK);
            // The client dials the pod itself, from the same port; nobody translates that, and its answer must pass as well.
            assert_eq!(world.send(&INGRESS, CLIENT, LOCAL, SYN), (Reason::Untouched, Path::Pass));
            assert_eq!(world.pass(&EGRESS, world.tuple(LOCAL, CLIENT), SYN_ACK), (Reason::Untouched, Path::Pass));
            assert_eq!(world.held(), 0);
        }
    }
}

#[test]
fn a_syn_ack_sent_again_is_part_of_its_flow() {
    for mut world in World::connection_and_flow(FAMILIES[0], LOCAL) {
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        for _ in 0..2 {
            assert_eq!(world.pass(&EGRESS, world.tuple(LOCAL, CLIENT), SYN_ACK), (Reason::Reply, Path::Stack));
        }
    }
}

#[test]
fn a_first_syn_ack_to_a_client_that_gave_up_is_its_flows() {
    for mut world in World::connection_and_flow(FAMILIES[0], LOCAL) {
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        world.send(&INGRESS, CLIENT, CLUSTER, RST);
        assert_eq!(world.send(&EGRESS, LOCAL, CLIENT, SYN_ACK), (Reason::Reply, Path::Stack));
        assert_eq!(world.to(), world.tuple(CLUSTER, CLIENT));
    }
}

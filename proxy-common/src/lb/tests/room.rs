//! Room for flows: embryonic ones beyond the quota, and all that a full table does not take, stand in the spill.

use super::world::{ACK, CLIENT, CLUSTER, EGRESS, End, FAMILIES, FIN, INGRESS, NODE_PORT, RST, SECOND, SYN, SYN_ACK, World};
use crate::abi::{FlowFlags, Reason};
use crate::lb::Path;

const LOCAL: End = (1, 1, 8080);
const NEXT: End = (1, 2, 8080);
const REMOTE: End = (2, 1, 8080);

#[test]
fn a_flow_is_counted_until_it_is_established_or_gone() {
    for family in FAMILIES {
        let mut world = World::without_connections(family, LOCAL);
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        assert_eq!(world.embryonic(), 1);
        world.send(&INGRESS, CLIENT, CLUSTER, RST);
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        assert_eq!(world.embryonic(), 1, "a new flow in the place of one that is over");
        world.send(&EGRESS, LOCAL, CLIENT, SYN_ACK);
        world.send(&INGRESS, CLIENT, CLUSTER, ACK);
        world.send(&INGRESS, CLIENT, CLUSTER, ACK);
        assert_eq!((world.embryonic(), world.env.rooms[0].spilled), (0, 0));
        world.send(&INGRESS, CLIENT, CLUSTER, FIN);
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        assert_eq!((world.embryonic(), world.env.flows.len()), (1, 2));
    }
}

#[test]
fn beyond_the_quota_a_flow_waits_in_the_spill_until_its_client_answers() {
    for family in FAMILIES {
        for (backend, frontend, reply_place) in [(LOCAL, CLUSTER, EGRESS), (REMOTE, NODE_PORT, INGRESS)] {
            let mut world = World::tcp(family, backend);
            world.fill();
            let (opened, _) = world.send(&INGRESS, CLIENT, frontend, SYN);
            let to = world.to();
            assert_eq!((opened, world.tables(), world.embryonic()), (Reason::Opened, vec![world.spill(); 2], 0));
            assert_eq!(world.send(&INGRESS, CLIENT, frontend, SYN).0, Reason::Forward);
            assert_eq!(world.pass(&reply_place, to.reversed(), SYN_ACK).0, Reason::Reply);
            assert_eq!(world.tables(), [world.spill(); 2]);
            assert_eq!(world.send(&INGRESS, CLIENT, frontend, ACK).0, Reason::Forward);
            assert_eq!((world.tables(), world.embryonic()), (vec![world.table(); 2], 0));
            assert!(world.is_established(frontend));
            assert_eq!(world.pass(&reply_place, to.reversed(), ACK).0, Reason::Reply);
            assert_eq!(world.send(&INGRESS, CLIENT, frontend, ACK).0, Reason::Forward);
            assert_eq!(world.to(), to);
        }
    }
}

#[test]
fn a_full_table_keeps_what_it_has_and_the_spill_takes_the_rest() {
    for capacity in [2, 3] {
        let mut world = World::without_connections(FAMILIES[0], LOCAL);
        let first = world.establish(&INGRESS, CLUSTER, &EGRESS);
        world.env.capacity[0] = capacity;
        assert_eq!(world.send(&INGRESS, CLIENT, SECOND, SYN).0, Reason::PortExchanged);
        let to = world.to();
        assert_eq!(world.tables().iter().filter(|table| table.is_spill()).count(), 2, "{}", world.dump());
        world.pass(&EGRESS, to.reversed(), SYN_ACK);
        assert_eq!(world.send(&INGRESS, CLIENT, SECOND, ACK).0, Reason::Forward);
        assert!(world.is_established(SECOND), "established where it is");
        assert_eq!(world.pass(&EGRESS, to.reversed(), ACK).0, Reason::Reply);
        assert_eq!(world.pass(&EGRESS, first, ACK).0, Reason::Reply);
        assert_eq!((world.embryonic(), world.env.flows.len()), (0, 4));
    }
}

#[test]
fn a_tuple_is_taken_in_whichever_table_it_stands() {
    for spills_first in [false, true] {
        let mut world = World::without_connections(FAMILIES[0], LOCAL);
        let quota = world.env.rooms[0].quota;
        for (spills, frontend, reason) in
            [(spills_first, CLUSTER, Reason::Opened), (!spills_first, SECOND, Reason::PortExchanged)]
        {
            world.env.rooms[0].quota = if spills { 0 } else { quota };
            assert_eq!(world.send(&INGRESS, CLIENT, frontend, SYN).0, reason, "spill first: {spills_first}");
        }
        assert_eq!(world.env.flows.len(), 4);
    }
}

#[test]
fn ports_towards_a_backend_are_shared_by_both_tables() {
    for spills_first in [false, true] {
        let mut world = World::tcp(FAMILIES[1], REMOTE);
        world.env.set_ports(&[(50_000, 2)]);
        let mut ports = Vec::new();
        for (number, spills) in [(1, spills_first), (2, !spills_first)] {
            world.env.rooms[0].quota = u32::from(!spills) * 100;
            assert_eq!(world.send(&INGRESS, (30, 1, number), NODE_PORT, SYN).0, Reason::Opened);
            ports.push(world.to().sport.number());
        }
        ports.sort_unstable();
        assert_eq!(ports, [50_000, 50_001]);
        for quota in [0, 100] {
            world.env.rooms[0].quota = quota;
            assert_eq!(world.send(&INGRESS, (30, 1, 3), NODE_PORT, SYN).0, Reason::PortsExhausted);
        }
    }
}

#[test]
fn what_is_over_makes_room_in_whichever_table_it_stands() {
    for spills in [false, true] {
        let mut world = World::without_connections(FAMILIES[0], LOCAL);
        if spills {
            world.fill();
        }
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        world.retire(1);
        world.replace_endpoint(NEXT);
        world.env.rooms[0].quota = 100;
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::Opened);
        assert_eq!(world.to(), world.tuple(CLIENT, NEXT));
        assert_eq!((world.tables(), world.embryonic()), (vec![world.table(); 2], 1));
    }
}

#[test]
fn a_first_packet_at_its_last_hop_leaves_no_flow() {
    let mut world = World::tcp(FAMILIES[0], REMOTE);
    let tuple = world.tuple(CLIENT, NODE_PORT);
    assert_eq!(world.pass_with_hop_limit(&INGRESS, tuple, SYN, 1), (Reason::HopLimit, Path::Drop));
    assert_eq!((world.env.flows.len(), world.opened()), (0, 0));
}

#[test]
fn an_established_flow_says_so_in_the_clients_entry_alone() {
    let mut world = World::without_connections(FAMILIES[0], LOCAL);
    let reply = world.establish(&INGRESS, CLUSTER, &EGRESS);
    assert!(world.entry(&reply).is_some_and(|flow| !flow.flags.has(FlowFlags::ESTABLISHED)));
}

#[test]
fn a_flow_that_settled_while_the_table_was_full_moves_once_there_is_room() {
    let mut world = World::without_connections(FAMILIES[0], LOCAL);
    world.env.capacity[0] = 0;
    world.send(&INGRESS, CLIENT, CLUSTER, SYN);
    world.send(&EGRESS, LOCAL, CLIENT, SYN_ACK);
    world.send(&INGRESS, CLIENT, CLUSTER, ACK);
    assert_eq!((world.tables(), world.is_established(CLUSTER)), (vec![world.spill(); 2], true));
    world.env.capacity[0] = 2;
    world.env.now += 1_000;
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, ACK).0, Reason::Forward);
    assert_eq!((world.tables(), world.embryonic()), (vec![world.table(); 2], 0));
    assert_eq!(world.send(&EGRESS, LOCAL, CLIENT, ACK).0, Reason::Reply);
}

#[test]
fn a_reply_entry_that_is_restored_does_not_say_that_the_backend_answered() {
    for full in [false, true] {
        let mut world = World::without_connections(FAMILIES[0], LOCAL);
        if full {
            world.fill();
        }
        world.send(&INGRESS, CLIENT, CLUSTER, SYN);
        let reply = world.tuple(LOCAL, CLIENT);
        for _ in 0..3 {
            world.evict(&reply);
            world.send(&INGRESS, CLIENT, CLUSTER, ACK);
            world.send(&INGRESS, CLIENT, CLUSTER, ACK);
            assert!(!world.is_established(CLUSTER), "full: {full}");
        }
        assert_eq!(world.send(&EGRESS, LOCAL, CLIENT, SYN_ACK).0, Reason::Reply);
        world.send(&INGRESS, CLIENT, CLUSTER, ACK);
        assert!(world.is_established(CLUSTER));
    }
}

#[test]
fn a_restored_reply_entry_goes_to_the_spill_of_a_full_table() {
    let mut world = World::without_connections(FAMILIES[0], LOCAL);
    let reply = world.establish(&INGRESS, CLUSTER, &EGRESS);
    world.evict(&reply);
    world.env.capacity[0] = 1;
    world.env.now += 1_000;
    world.send(&INGRESS, CLIENT, CLUSTER, ACK);
    assert_eq!(world.pass(&EGRESS, reply, ACK), (Reason::Reply, Path::Stack));
}

#[test]
fn of_two_flows_opened_at_once_in_two_tables_that_in_the_table_stands() {
    let mut other = World::without_connections(FAMILIES[0], NEXT);
    other.send(&INGRESS, CLIENT, CLUSTER, SYN);
    let client = other.tuple(CLIENT, CLUSTER);
    let winner = other.entry(&client).expect("the winner's entry");
    for spills in [false, true] {
        let mut world = World::without_connections(FAMILIES[0], LOCAL);
        let (own, elsewhere) = if spills { (world.spill(), world.table()) } else { (world.table(), world.spill()) };
        world.env.rooms[0].spilled = 1;
        if spills {
            world.fill();
        }
        world.env.meanwhile.insert((own, client), (elsewhere, winner));
        assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN), (Reason::Opened, Path::Stack));
        let stands = if spills { winner.to } else { world.tuple(CLIENT, LOCAL) };
        assert_eq!((world.to(), world.entry(&client).map(|flow| flow.to)), (stands, Some(stands)));
        assert_eq!(world.env.flows.keys().filter(|(_, key)| *key == client).count(), 1, "{}", world.dump());
        assert_eq!(world.opened(), u64::from(!spills), "the winner counts it");
    }
}

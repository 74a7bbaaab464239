//! Two CPUs open the same flow at the same time: the first one's choice stands, whatever it is.

use super::world::{CLIENT, CLUSTER, EGRESS, End, FAMILIES, INGRESS, NODE_PORT, SYN, SYN_ACK, World, XDP};
use crate::abi::{Flow, Reason};
use crate::lb::{Path, Place};

const LOCAL: End = (1, 1, 8080);
const REMOTE: End = (2, 1, 8080);

/// A flow to `dst` as another CPU makes it while this one chooses `own`: the client's entry, and what the loser's packet meets.
fn lose(own: End, winner: End, frontend: End, place: &Place) -> (World, Flow, (Reason, Path)) {
    let family = FAMILIES[0];
    let mut other = World::without_connections(family, winner);
    other.send(&INGRESS, CLIENT, frontend, SYN);
    let client = other.tuple(CLIENT, frontend);
    let entry = other.entry(&client).expect("the winner's entry");
    let mut world = World::without_connections(family, own);
    world.env.races.insert((world.table(), client), entry);
    let verdict = world.send(place, CLIENT, frontend, SYN);
    (world, entry, verdict)
}

#[test]
fn the_loser_sends_its_packet_where_the_winner_did() {
    let (world, winner, verdict) = lose(LOCAL, (1, 7, 8080), CLUSTER, &INGRESS);
    assert_eq!(verdict, (Reason::Opened, Path::Stack));
    assert_eq!(world.to(), winner.to);
    assert_eq!(world.opened(), 0, "the winner counts it");
    assert_eq!(world.entry(&world.tuple(LOCAL, CLIENT)), None, "the loser's reply entry goes");
}

#[test]
fn the_loser_goes_the_winners_way() {
    let (world, winner, verdict) = lose(REMOTE, LOCAL, NODE_PORT, &INGRESS);
    assert_eq!((verdict, world.to()), ((Reason::Opened, Path::Stack), winner.to));
    let (world, winner, verdict) = lose(LOCAL, REMOTE, NODE_PORT, &INGRESS);
    assert_eq!((verdict, world.to()), ((Reason::Opened, Path::Out), winner.to));
    assert_eq!(world.scratch.hop, winner.hop);
}

#[test]
fn at_xdp_the_loser_leaves_to_tc_what_it_cannot_send_the_winners_way() {
    let (_, _, verdict) = lose(LOCAL, (4, 1, 8080), NODE_PORT, &XDP);
    assert_eq!(verdict, (Reason::Deferred, Path::Pass));
}

#[test]
fn a_reply_entry_made_meanwhile_is_never_overwritten() {
    let mut world = World::without_connections(FAMILIES[1], LOCAL);
    let reply = world.tuple(LOCAL, CLIENT);
    let mut other = World::without_connections(FAMILIES[1], LOCAL);
    other.send(&INGRESS, CLIENT, (96, 2, 80), SYN);
    let strangers = other.entry(&reply).expect("another flow's reply entry");
    world.env.races.insert((world.table(), reply), strangers);
    assert_eq!(world.send(&INGRESS, CLIENT, CLUSTER, SYN).0, Reason::PortExchanged);
    assert_eq!(world.entry(&reply), Some(strangers));
    assert_eq!(world.pass(&EGRESS, world.to().reversed(), SYN_ACK).0, Reason::Reply);
}

#[test]
fn a_loser_that_chose_alike_leaves_the_reply_entry_that_both_need() {
    let (mut world, winner, verdict) = lose(LOCAL, LOCAL, CLUSTER, &INGRESS);
    assert_eq!((verdict, world.to()), ((Reason::Opened, Path::Stack), winner.to));
    assert_eq!(world.pass(&EGRESS, world.tuple(LOCAL, CLIENT), SYN_ACK), (Reason::Reply, Path::Stack));
}

//! XDP at the uplinks of nodes on a wire that behaves like a physical one: the fast path forwards by itself, and no packet
//! is translated twice.

use anyhow::{Context, Result, ensure};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::Hooks;
use sluice_tests::scenario::{POD_PORT, Target};
use sluice_tests::sniff::Icmp;
use sluice_tests::traffic::{Close, Probe};
use sluice_tests::{Family, PodNetwork, Proto, Scenario, Spec};

const FLAGS: [&str; 2] = ["--xdp", "require"];

#[test]
fn a_remote_backend_is_served_by_xdp_alone() -> Result<()> {
    let scenario = Scenario::start_on_physical_wire("xdp-remote", Spec::new(PodNetwork::Routed), &FLAGS)?;
    settle_neighbours(&scenario)?;
    let before = Hooks::of(&scenario.agents[0])?;
    dial(&scenario, Target::Far, |_, ip| scenario.is_node_address(0, ip))?;
    before.moved(&scenario.agents[0])?.expect_xdp_alone()
}

#[test]
fn a_local_backend_is_rewritten_by_xdp_and_answers_through_tc() -> Result<()> {
    let scenario = Scenario::start_on_physical_wire("xdp-local", Spec::new(PodNetwork::Bridged), &FLAGS)?;
    settle_neighbours(&scenario)?;
    let outside = scenario.cluster.outside();
    let before = Hooks::of(&scenario.agents[0])?;
    dial(&scenario, Target::Near, |_, ip| Family::BOTH.iter().any(|&family| ip == outside.ip(family)))?;
    before.moved(&scenario.agents[0])?.expect_xdp_in_tc_out()
}

#[test]
fn a_backend_behind_an_overlay_is_left_to_tc() -> Result<()> {
    let scenario = Scenario::start_on_physical_wire("xdp-overlay", Spec::new(PodNetwork::Overlay), &FLAGS)?;
    settle_neighbours(&scenario)?;
    let before = Hooks::of(&scenario.agents[0])?;
    dial(&scenario, Target::Far, |_, ip| scenario.is_node_address(0, ip))?;
    let moved = before.moved(&scenario.agents[0])?;
    ensure!(moved.tc_ingress > 0 && moved.sockets == 0, "{}", moved.all);
    Ok(())
}

#[test]
fn without_an_endpoint_tc_refuses() -> Result<()> {
    let scenario = Scenario::start_on_physical_wire("xdp-refused", Spec::new(PodNetwork::Routed), &FLAGS)?;
    let outside = scenario.cluster.outside();
    for (family, proto) in families_and_protocols() {
        let to = scenario.node_port(0, Target::Nobody, family);
        let sniffer = outside.sniff()?;
        let case = format!("{to} {proto}");
        expect::refused_by_icmp(&case, &outside.probe(Probe::times(proto, to, 2))?, proto)?;
        let capture = sniffer.finish()?;
        capture.expect_sound().context(case.clone())?;
        let unreachable = if family == Family::V4 { Icmp { kind: 3, code: 3 } } else { Icmp { kind: 1, code: 4 } };
        let errors = capture.received(|seen| seen.icmp == Some(unreachable) && seen.source == to.ip()).count();
        ensure!(
            errors == 2 || (proto == Proto::Tcp && (3..=4).contains(&errors)),
            "{case}: {errors} ICMP errors from the dialled address"
        );
    }
    Ok(())
}

#[test]
fn generic_xdp_serves_on_request() -> Result<()> {
    let flags = ["--xdp", "generic"];
    let scenario = Scenario::start_on_physical_wire("xdp-generic", Spec::new(PodNetwork::Routed), &flags)?;
    settle_neighbours(&scenario)?;
    let before = Hooks::of(&scenario.agents[0])?;
    dial(&scenario, Target::Far, |_, ip| scenario.is_node_address(0, ip))?;
    before.moved(&scenario.agents[0])?.expect_xdp_alone()
}

/// Dials a target's NodePort on node 0 from outside, with every checksum checked at all ends.
fn dial(scenario: &Scenario, target: Target, is_source: impl Fn(&str, std::net::IpAddr) -> bool) -> Result<()> {
    let outside = scenario.cluster.outside();
    let backends = scenario.backends(target);
    let pods = [&*scenario.near, &*scenario.far].into_iter().filter(|pod| backends.contains(&pod.name()));
    let receivers: Vec<_> = pods.chain([outside]).collect();
    scenario.near.offload_off()?;
    scenario.far.offload_off()?;
    let sniffers = receivers.iter().map(|host| host.sniff()).collect::<Result<Vec<_>>>()?;
    for (family, proto) in families_and_protocols() {
        let to = scenario.node_port(0, target, family);
        let outcomes = outside.probe(Probe { close: Close::Server, ..Probe::times(proto, to, 20) })?;
        expect::answered_to(&format!("{to} {proto}"), &outcomes, to, &backends, &is_source)?;
    }
    for family in Family::BOTH {
        expect::echoed(outside, scenario.node_port(0, target, family))?;
    }
    for (sniffer, host) in sniffers.into_iter().zip(receivers) {
        sniffer.finish()?.expect_sound().with_context(|| format!("received by {}", host.name()))?;
    }
    Ok(())
}

/// Node 0 must know its neighbours, or XDP leaves the first packets to tc.
fn settle_neighbours(scenario: &Scenario) -> Result<()> {
    for family in Family::BOTH {
        for neighbour in [scenario.cluster.outside(), scenario.cluster.node(1), &scenario.near, &scenario.far] {
            // Refused or not: the datagram had to be addressed.
            scenario.cluster.node(0).dial(Proto::Udp, neighbour.at(family, POD_PORT))?;
        }
    }
    Ok(())
}

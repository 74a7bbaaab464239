//! Source ranges of load balancers (S24, S42): who is served, who is dropped, and what a change of them does to whom.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::inlet::Inlet;
use sluice_tests::manifests::{Service, ingress};
use sluice_tests::scenario::{POD_PORT, PORT};
use sluice_tests::traffic::{Held, HeldReport, Probe, Target};
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec, cluster_ip, wait};

const SOON: Duration = Duration::from_secs(3);
const NODE_PORT: u16 = 30_110;
const NUMBER: u16 = 110;
const BALANCED: [&str; 2] = ["203.0.113.19", "2001:db8:113::19"];
const EXTERNAL: [&str; 2] = ["198.51.100.17", "2001:db8:198::17"];
/// Nobody has an address in these.
const NOBODY: [&str; 2] = ["198.18.0.0/15", "2001:db8:18::/48"];

fn at(addresses: [&str; 2], family: Family) -> Result<SocketAddr> {
    let text = if family == Family::V4 { addresses[0] } else { addresses[1] };
    Ok(SocketAddr::new(text.parse()?, PORT))
}

/// The host's own addresses as ranges.
fn own(host: &Host) -> [String; 2] {
    [format!("{}/32", host.ip(Family::V4)), format!("{}/128", host.ip(Family::V6))]
}

/// Puts the Service in force for clients in these ranges, with the pod on the first node or with nobody behind it.
fn put(scenario: &Scenario, ranges: &[String], served: bool) -> Result<()> {
    let ips = Family::BOTH.map(|family| cluster_ip(family, NUMBER));
    let quoted: Vec<String> = ranges.iter().map(|range| format!("{range:?}")).collect();
    let extra = format!("  externalIPs: {EXTERNAL:?}\n  loadBalancerSourceRanges: [{}]\n", quoted.join(", "));
    let service = Service { extra, status: ingress(&BALANCED), ..Service::new("sources", &ips) };
    let service = Proto::BOTH.into_iter().fold(service, |service, proto| service.port(proto, PORT, POD_PORT, NODE_PORT));
    let pods = if served { vec![(&scenario.near, "node1")] } else { Vec::new() };
    scenario.put(&service, &pods)?;
    scenario.agents.iter().try_for_each(|agent| {
        wait::until(SOON, "the ranges in the tables", || {
            let text = agent.cli(&["services", "--service", "default/sources", "-o", "json"]).ok()?;
            ranges.iter().all(|range| text.contains(&format!("\"{}\"", range.trim()))).then_some(())
        })
    })
}

#[test]
fn s24_s42_clients_from_outside_are_served_in_range_and_dropped_out_of_range() -> Result<()> {
    from_outside(Inlet::Tc)
}

#[test]
fn s24_s42_clients_from_outside_are_served_in_range_and_dropped_out_of_range_at_xdp() -> Result<()> {
    from_outside(Inlet::Xdp)
}

fn from_outside(inlet: Inlet) -> Result<()> {
    let scenario = inlet.start("sources-outside", Spec::new(PodNetwork::Routed), &[])?;
    let (agent, outside) = (&scenario.agents[0], scenario.cluster.outside());
    scenario.route_to_node(outside, &[BALANCED, EXTERNAL].concat())?;
    let mine = own(outside);
    put(&scenario, &[format!("  {}\t", mine[0]), mine[1].clone(), NOBODY[0].to_owned()], true)?;
    let mut targets = Vec::new();
    for (family, proto) in families_and_protocols() {
        inlet.served(agent, outside, at(BALANCED, family)?, (proto, "near"))?;
        targets.push(Target::new(proto, at(BALANCED, family)?));
    }
    let held = outside.hold(Held { targets, count: 2, bind: None, interval_ms: 50, timeout_ms: 1000 })?;
    put(&scenario, &NOBODY.map(str::to_owned), true)?;
    for family in Family::BOTH {
        inlet.dropped(agent, outside, at(BALANCED, family)?, "source_range")?;
    }
    for (family, proto) in families_and_protocols() {
        let node_port = scenario.cluster.node(0).at(family, NODE_PORT);
        for to in [at(EXTERNAL, family)?, node_port, SocketAddr::new(cluster_ip(family, NUMBER), PORT)] {
            inlet.served(agent, outside, to, (proto, "near"))?;
        }
    }
    let report: HeldReport = held.finish()?;
    ensure!(report.opened == 8 && report.broken.is_empty() && report.unanswered == 0, "what was open stays: {report:?}");
    // Without endpoints whoever is out of range is dropped all the same, and whoever is in range refused.
    put(&scenario, &NOBODY.map(str::to_owned), false)?;
    for family in Family::BOTH {
        inlet.dropped(agent, outside, at(BALANCED, family)?, "source_range")?;
    }
    put(&scenario, &mine, false)?;
    for (family, proto) in families_and_protocols() {
        inlet.refused(agent, outside, at(BALANCED, family)?, proto)?;
    }
    put(&scenario, &mine, true)?;
    for (family, proto) in families_and_protocols() {
        inlet.served(agent, outside, at(BALANCED, family)?, (proto, "near"))?;
    }
    Ok(())
}

#[test]
fn s24_the_node_and_its_pods_are_judged_by_their_addresses() -> Result<()> {
    let scenario = Scenario::start("sources-node", Spec::new(PodNetwork::Routed), &[])?;
    let (node, pod) = (scenario.cluster.node(0), &scenario.client);
    put(&scenario, &own(node), true)?;
    for (family, proto) in families_and_protocols() {
        let to = at(BALANCED, family)?;
        expect::answered(&to, &node.probe(Probe::times(proto, to, 5))?, to, &["near"])?;
    }
    put(&scenario, &own(pod), true)?;
    for family in Family::BOTH {
        expect::dropped(&scenario.agents[0], node, at(BALANCED, family)?, ("tc_egress", "source_range"))?;
    }
    for (family, proto) in families_and_protocols() {
        let to = at(BALANCED, family)?;
        let bind = Some(SocketAddr::new(pod.ip(family), 0));
        expect::answered(&to, &pod.probe(Probe { bind, ..Probe::times(proto, to, 5) })?, to, &["near"])?;
        let unbound = pod.probe(Probe { timeout_ms: 300, ..Probe::once(proto, to) })?;
        let failure = unbound[0].result.as_ref().err().with_context(|| format!("{to} {proto}: not left to the edge"))?;
        ensure!(failure.reason != "ECONNREFUSED", "{to} {proto}: {failure}");
    }
    Ok(())
}

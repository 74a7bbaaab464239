//! The socket hooks: what pods and nodes dial is translated once, in the system call; no packet carries the Service.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::Hooks;
use sluice_tests::scenario::{POD_PORT, Target};
use sluice_tests::traffic::{Close, Probe, Unconnected};
use sluice_tests::wire::Taps;
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec};

const ANSWERED: [Target; 3] = [Target::Near, Target::Far, Target::Both];

#[test]
fn routed_pods_and_nodes() -> Result<()> {
    pods_and_nodes("sockets-routed", PodNetwork::Routed)
}

#[test]
fn bridged_pods_and_nodes() -> Result<()> {
    pods_and_nodes("sockets-bridged", PodNetwork::Bridged)
}

#[test]
fn overlay_pods_and_nodes() -> Result<()> {
    pods_and_nodes("sockets-overlay", PodNetwork::Overlay)
}

#[test]
fn s37_the_packets_of_a_pod_carry_the_backend() -> Result<()> {
    let scenario = Scenario::start("sockets-wire", Spec::new(PodNetwork::Routed), &[])?;
    let taps = Taps::at(&[&scenario.client])?;
    for (family, proto) in families_and_protocols() {
        let to = Target::Both.cluster_ip(family);
        expect::answered(&proto, &scenario.client.probe(Probe::times(proto, to, 20))?, to, &["near", "far"])?;
    }
    let wire = taps.finish()?;
    wire.expect_none_named(&scenario.frontends())?;
    let mut to_pods = 0;
    for (family, proto) in families_and_protocols() {
        for pod in [&scenario.near, &scenario.far] {
            to_pods += wire.expect_sent(&scenario.client, proto, pod.at(family, POD_PORT))?;
        }
    }
    ensure!(to_pods >= 80, "{to_pods} packets went to the pods");
    Ok(())
}

#[test]
fn without_an_endpoint_the_call_is_refused() -> Result<()> {
    let scenario = Scenario::start("sockets-refused", Spec::new(PodNetwork::Routed), &[])?;
    let before = Hooks::of(&scenario.agents[0])?;
    for (family, proto) in families_and_protocols() {
        for to in [Target::Nobody.cluster_ip(family), scenario.node_port(0, Target::Nobody, family)] {
            for client in [scenario.client.as_ref(), scenario.cluster.node(0)] {
                let outcomes = client.probe(Probe::times(proto, to, 3))?;
                expect::refused(&format!("{} → {to} {proto}", client.name()), &outcomes)?;
                ensure!(outcomes.iter().all(|outcome| outcome.result.as_ref().is_err_and(|failure| failure.step == "connect")));
            }
        }
        let to = Target::Nobody.cluster_ip(family);
        let report = scenario.client.talk(talk(vec![to], 1))?;
        ensure!(report.errors.len() == 1 && report.errors[0].contains("refused"), "sendto {to}: {report:?}");
    }
    before.moved(&scenario.agents[0])?.expect_nothing()
}

#[test]
fn one_udp_socket_talks_to_several_services_at_once() -> Result<()> {
    let scenario = Scenario::start("sockets-talk", Spec::new(PodNetwork::Bridged), &[])?;
    // Two Services over one pod could not be told apart by what the pod answers, so each has its own.
    let services = [Target::Near, Target::Far];
    let of = |family| services.map(|target| target.cluster_ip(family)).to_vec();
    for client in [scenario.client.as_ref(), scenario.cluster.node(0)] {
        let before = Hooks::of(&scenario.agents[0])?;
        for family in Family::BOTH {
            talks_to_all(client, talk(of(family), 50))?;
        }
        talks_to_all(client, Unconnected { dual: true, ..talk([of(Family::V4), of(Family::V6)].concat(), 50) })?;
        before.settled(&scenario.agents[0])?.expect_sockets_alone().with_context(|| format!("from {}", client.name()))?;
    }
    no_flows(&scenario)
}

#[test]
fn an_address_given_to_sendto_overrides_that_of_connect() -> Result<()> {
    let scenario = Scenario::start("sockets-override", Spec::new(PodNetwork::Routed), &[])?;
    for family in Family::BOTH {
        // The kernel delivers to a connected socket only what its peer sends, so the two Services share a backend.
        let task =
            Unconnected { connect: Some(Target::Far.cluster_ip(family)), ..talk(vec![Target::Far.cluster_ip(family)], 20) };
        let before = Hooks::of(&scenario.agents[0])?;
        talks_to_all(&scenario.client, task)?;
        before.settled(&scenario.agents[0])?.expect_sockets_alone().with_context(|| family.to_string())?;
    }
    no_flows(&scenario)
}

fn pods_and_nodes(test: &str, network: PodNetwork) -> Result<()> {
    let scenario = Scenario::start(test, Spec::new(network), &[])?;
    let (near, far) = (scenario.near.as_ref(), scenario.far.as_ref());
    let nodes = [scenario.cluster.node(0), scenario.cluster.node(1)];
    let devices = [scenario.client.as_ref(), near, far, nodes[0], nodes[1]];
    let wire = expect::with_and_without_offload(&devices, &devices, || {
        let before = [Hooks::of(&scenario.agents[0])?, Hooks::of(&scenario.agents[1])?];
        for (client, node) in [(scenario.client.as_ref(), 0), (near, 0), (far, 1), (nodes[0], 0), (nodes[1], 1)] {
            dial_all(&scenario, client, node).with_context(|| format!("from {}", client.name()))?;
        }
        before[0].moved(&scenario.agents[0])?.expect_sockets_alone().context("node1")?;
        before[1].moved(&scenario.agents[1])?.expect_sockets_alone().context("node2")
    })?;
    // Every packet carries the backend, whoever sent it, and no flow was opened.
    wire.expect_none_named(&scenario.frontends())?;
    for (family, proto) in families_and_protocols() {
        for pod in [near, far] {
            wire.expect_sent(&scenario.client, proto, pod.at(family, POD_PORT))?;
            wire.expect_received(pod, proto, pod.at(family, POD_PORT))?;
        }
    }
    no_flows(&scenario)
}

/// No agent's node has a flow.
fn no_flows(scenario: &Scenario) -> Result<()> {
    scenario.agents.iter().try_for_each(|agent| {
        let flows = agent.cli(&["flows", "-o", "json"])?;
        ensure!(flows.contains(r#""flows": []"#), "{flows}");
        Ok(())
    })
}

/// Dials every Service by every address at which the socket hooks serve it, and streams through each.
fn dial_all(scenario: &Scenario, client: &Host, node: usize) -> Result<()> {
    let is_node = std::ptr::eq(client, scenario.cluster.node(node));
    for (target, family) in ANSWERED.into_iter().flat_map(|target| Family::BOTH.map(|family| (target, family))) {
        let mut addresses = vec![target.cluster_ip(family), scenario.node_port(node, target, family)];
        if is_node {
            addresses.push(loopback(family, target.node_port()));
        }
        for to in addresses {
            for proto in Proto::BOTH {
                let outcomes = client.probe(Probe { close: Close::Server, ..Probe::times(proto, to, 5) })?;
                expect::answered_to_itself(&format!("{to} {proto}"), &outcomes, to, &scenario.backends(target))?;
            }
        }
        if target != Target::Both {
            expect::echoed(client, target.cluster_ip(family))?;
        }
    }
    Ok(())
}

fn loopback(family: Family, port: u16) -> SocketAddr {
    match family {
        Family::V4 => (Ipv4Addr::LOCALHOST, port).into(),
        Family::V6 => (Ipv6Addr::LOCALHOST, port).into(),
    }
}

fn talk(targets: Vec<SocketAddr>, rounds: u32) -> Unconnected {
    Unconnected { targets, dual: false, connect: None, rounds, timeout_ms: 2000, interval_ms: 0 }
}

fn talks_to_all(client: &Host, task: Unconnected) -> Result<()> {
    let (targets, rounds) = (task.targets.clone(), u64::from(task.rounds));
    let report = client.talk(task)?;
    ensure!(report.strangers.is_empty() && report.lost.is_empty() && report.errors.is_empty(), "{}: {report:?}", client.name());
    ensure!(targets.iter().all(|target| report.answered.get(target) == Some(&rounds)), "{}: {report:?}", client.name());
    Ok(())
}

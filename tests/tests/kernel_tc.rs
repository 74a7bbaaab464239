//! tc at uplinks and overlays: what comes in from the wire for a NodePort or a routed ClusterIP, and its replies.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::Hooks;
use sluice_tests::scenario::{POD_PORT, Target};
use sluice_tests::sniff::Icmp;
use sluice_tests::traffic::{Close, Probe};
use sluice_tests::wire::{Taps, Wire};
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec};

/// Every Service that has endpoints.
const SERVED: [Target; 3] = [Target::Near, Target::Far, Target::Both];

/// Every kind of network that pods have.
const NETWORKS: [PodNetwork; 3] = [PodNetwork::Routed, PodNetwork::Bridged, PodNetwork::Overlay];

/// The cluster's pods in both families, as `--cluster-cidr` takes them.
fn detector() -> String {
    format!("{POD_CIDR_V4},{POD_CIDR_V6}")
}

#[test]
fn routed_node_ports() -> Result<()> {
    node_ports("tc-routed", Spec::new(PodNetwork::Routed))
}

#[test]
fn bridged_node_ports() -> Result<()> {
    node_ports("tc-bridged", Spec::new(PodNetwork::Bridged))
}

#[test]
fn overlay_node_ports() -> Result<()> {
    node_ports("tc-overlay", Spec::new(PodNetwork::Overlay))
}

#[test]
fn node_ports_from_behind_a_router() -> Result<()> {
    node_ports("tc-router", Spec::new(PodNetwork::Bridged).behind_router())
}

#[test]
fn routed_cluster_ip_with_a_detector_is_masqueraded_whatever_the_backend() -> Result<()> {
    NETWORKS.into_iter().try_for_each(|network| with_a_detector(network).with_context(|| format!("{network:?}")))
}

fn with_a_detector(network: PodNetwork) -> Result<()> {
    let scenario = Scenario::start("tc-detector", Spec::new(network), &["--cluster-cidr", &detector()])?;
    let outside = scenario.cluster.outside();
    let devices = [outside, &scenario.near, &scenario.far, scenario.cluster.node(0), scenario.cluster.node(1)];
    let wire = expect::with_and_without_offload(&devices, &devices, || {
        let before = Hooks::of(&scenario.agents[0])?;
        for (family, proto) in families_and_protocols() {
            for target in SERVED {
                let to = target.cluster_ip(family);
                let outcomes = outside.probe(Probe::times(proto, to, 10))?;
                let case = format!("{to} {proto}");
                expect::answered_to(&case, &outcomes, to, &scenario.backends(target), |_, ip| scenario.is_node_address(0, ip))?;
            }
        }
        for (family, target) in Family::BOTH.into_iter().flat_map(|family| [(family, Target::Near), (family, Target::Far)]) {
            expect::echoed(outside, target.cluster_ip(family))?;
        }
        before.moved(&scenario.agents[0])?.expect_tc_alone()
    })?;
    translated_by_tc(&scenario, &wire, (&[outside], &SERVED), |target, family| target.cluster_ip(family))
}

#[test]
fn routed_cluster_ip_without_a_detector_keeps_the_source() -> Result<()> {
    NETWORKS.into_iter().try_for_each(|network| without_a_detector(network).with_context(|| format!("{network:?}")))
}

fn without_a_detector(network: PodNetwork) -> Result<()> {
    let scenario = Scenario::start("tc-no-detector", Spec::new(network), &[])?;
    let outside = scenario.cluster.outside();
    let devices = [outside, &scenario.near, &scenario.far, scenario.cluster.node(0), scenario.cluster.node(1)];
    let wire = expect::with_and_without_offload(&devices, &devices, || {
        to_a_local_backend_without_a_detector(&scenario, outside)?;
        to_a_remote_backend_without_a_detector(&scenario, outside)
    })?;
    translated_by_tc(&scenario, &wire, (&[outside], &[Target::Near, Target::Far]), |target, family| target.cluster_ip(family))
}

/// Translated by tc on the way in and on the way out.
fn to_a_local_backend_without_a_detector(scenario: &Scenario, outside: &Host) -> Result<()> {
    let before = [Hooks::of(&scenario.agents[0])?, Hooks::of(&scenario.agents[1])?];
    for (family, proto) in families_and_protocols() {
        let to = Target::Near.cluster_ip(family);
        let outcomes = outside.probe(Probe::times(proto, to, 10))?;
        expect::answered_to_itself(&format!("{to} {proto}"), &outcomes, to, &["near"])?;
    }
    Family::BOTH.into_iter().try_for_each(|family| expect::echoed(outside, Target::Near.cluster_ip(family)))?;
    let moved = before[0].settled(&scenario.agents[0])?;
    moved.expect_tc_alone()?;
    ensure!(moved.tc_ingress > 0 && moved.tc_egress > 0, "not both ways:\n{}", moved.all);
    before[1].moved(&scenario.agents[1])?.expect_nothing().context("at the other node")
}

/// Translated by tc on the way in. The reply of a remote backend does not pass this node, so only the way there can be seen.
fn to_a_remote_backend_without_a_detector(scenario: &Scenario, outside: &Host) -> Result<()> {
    let before = [Hooks::of(&scenario.agents[0])?, Hooks::of(&scenario.agents[1])?];
    let sniffer = scenario.far.sniff()?;
    for (family, proto) in families_and_protocols() {
        outside.probe(Probe { timeout_ms: 100, ..Probe::once(proto, Target::Far.cluster_ip(family)) })?;
    }
    let capture = sniffer.finish()?;
    for family in Family::BOTH {
        let arrived =
            capture.received(|seen| seen.source == outside.ip(family) && seen.destination == scenario.far.ip(family)).count();
        ensure!(arrived >= 2, "{family}: {arrived} packets with the client's address");
    }
    let moved = before[0].settled(&scenario.agents[0])?;
    moved.expect_tc_alone()?;
    ensure!(moved.tc_ingress > 0 && moved.tc_egress == 0, "not on the way in alone:\n{}", moved.all);
    before[1].moved(&scenario.agents[1])?.expect_nothing().context("at the other node")
}

#[test]
fn s36_a_client_that_is_its_own_backend() -> Result<()> {
    let scenario = Scenario::start("tc-hairpin", Spec::new(PodNetwork::Routed), &[])?;
    let pod = scenario.far.as_ref();
    let hooks = || Ok::<_, anyhow::Error>([Hooks::of(&scenario.agents[0])?, Hooks::of(&scenario.agents[1])?]);
    for (family, proto) in families_and_protocols() {
        // In the call both ends become the pod's own, and no packet leaves it; by another node it comes back masqueraded.
        let (service, by_node) = (Target::Far.cluster_ip(family), scenario.node_port(0, Target::Far, family));
        let (before, taps) = (hooks()?, Taps::at(&[pod])?);
        expect::answered_to_itself(
            &format!("{service} {proto}"),
            &pod.probe(Probe::times(proto, service, 5))?,
            service,
            &["far"],
        )?;
        taps.finish()?.expect_none_named(&[SocketAddr::new(service.ip(), 0), pod.at(family, POD_PORT)])?;
        before[0].settled(&scenario.agents[0])?.expect_nothing().context("in the call, at the other node")?;
        before[1].moved(&scenario.agents[1])?.expect_sockets_alone().context("in the call")?;
        let before = hooks()?;
        let outcomes = pod.probe(Probe::times(proto, by_node, 5))?;
        let is_node = |_: &str, ip| scenario.is_node_address(0, ip);
        expect::answered_to(&format!("{by_node} {proto}"), &outcomes, by_node, &["far"], is_node)?;
        before[0].settled(&scenario.agents[0])?.expect_tc_alone().context("by the other node")?;
        before[1].moved(&scenario.agents[1])?.expect_nothing().context("by the other node, at the pod's own")?;
    }
    Ok(())
}

#[test]
fn without_an_endpoint_the_client_is_refused_by_icmp() -> Result<()> {
    let scenario = Scenario::start("tc-refused", Spec::new(PodNetwork::Bridged), &[])?;
    let outside = scenario.cluster.outside();
    for (family, proto) in families_and_protocols() {
        for to in [scenario.node_port(0, Target::Nobody, family), Target::Nobody.cluster_ip(family)] {
            let (before, sniffer) = (Hooks::of(&scenario.agents[0])?, outside.sniff()?);
            let case = format!("{to} {proto}");
            expect::refused_by_icmp(&case, &outside.probe(Probe::times(proto, to, 2))?, proto)?;
            let capture = sniffer.finish()?;
            capture.expect_sound().context(case.clone())?;
            let unreachable = match family {
                Family::V4 => Icmp { kind: 3, code: 3 },
                Family::V6 => Icmp { kind: 1, code: 4 },
            };
            let errors = capture.received(|seen| seen.icmp == Some(unreachable) && seen.source == to.ip()).count();
            ensure!(
                errors == 2 || (proto == Proto::Tcp && (3..=4).contains(&errors)),
                "{case}: {errors} ICMP errors from the dialled address"
            );
            let moved = before.moved(&scenario.agents[0])?;
            ensure!(moved.refused == errors as u64, "{case}: {errors} ICMP errors, and tc counts:\n{}", moved.all);
            moved.expect_nothing().context(case)?;
        }
    }
    Ok(())
}

/// What no socket hook sees is translated where it leaves the node; a local backend does not lie on that way.
#[test]
fn a_process_of_the_node_outside_the_cgroup_is_served_where_it_leaves() -> Result<()> {
    for network in [PodNetwork::Routed, PodNetwork::Overlay] {
        let scenario = Scenario::start("tc-apart", Spec::new(network), &[])?;
        let node = scenario.cluster.apart(0)?;
        for (family, proto) in families_and_protocols() {
            let (case, before) = (format!("{network:?} {family} {proto}"), Hooks::of(&scenario.agents[0])?);
            let to = Target::Far.cluster_ip(family);
            expect::answered_to_itself(&case, &node.probe(Probe::times(proto, to, 5))?, to, &["far"])?;
            let moved = before.settled(&scenario.agents[0])?;
            moved.expect_tc_alone()?;
            ensure!(moved.tc_egress > 0 && moved.tc_ingress > 0, "{case}: not both ways:\n{}", moved.all);
            let nobody = Target::Nobody.cluster_ip(family);
            expect::refused_by_icmp(&case, &node.probe(Probe::times(proto, nobody, 2))?, proto)?;
        }
        let to = Target::Near.cluster_ip(Family::V6);
        expect::dropped(&scenario.agents[0], &node, to, ("tc_egress", "local_unreachable"))?;
    }
    Ok(())
}

#[test]
fn refusals_are_limited() -> Result<()> {
    const TRIES: u32 = 1_000;
    /// ICMP errors that a CPU may send in a second, and at once.
    const LIMIT: f64 = 100.0;
    let scenario = Scenario::start("tc-limited", Spec::new(PodNetwork::Routed), &[])?;
    let (outside, to) = (scenario.cluster.outside(), scenario.node_port(0, Target::Nobody, Family::V4));
    let (sniffer, begin) = (outside.sniff()?, Instant::now());
    outside.probe(Probe { timeout_ms: 1, ..Probe::times(Proto::Udp, to, TRIES) })?;
    let (errors, seconds) = (sniffer.finish()?.received(|seen| seen.icmp.is_some()).count() as f64, begin.elapsed());
    let most = LIMIT * (1.0 + seconds.as_secs_f64()) * std::thread::available_parallelism()?.get() as f64;
    let left_out = scenario.agents[0].metrics()?.sum("sluice_packets_total", &["reason=\"reject_limited\""]);
    ensure!(errors >= LIMIT && errors <= most, "{errors} errors in {seconds:?}, at most {most} may be sent");
    ensure!(errors + left_out == f64::from(TRIES), "{errors} errors and {left_out} left out of {TRIES}");
    Ok(())
}

fn node_ports(test: &str, spec: Spec) -> Result<()> {
    let scenario = Scenario::start(test, spec, &[])?;
    let (outside, node2) = (scenario.cluster.outside(), scenario.cluster.node(1));
    let devices = [outside, &scenario.near, &scenario.far, scenario.cluster.node(0), node2];
    // The other node's process and its pod dial an address that is no NodePort address there: the wire carries it.
    let clients = [outside, node2, &scenario.far];
    let wire = expect::with_and_without_offload(&devices, &devices, || {
        for client in clients {
            let before = Hooks::of(&scenario.agents[0])?;
            dial_node_ports(&scenario, client).with_context(|| format!("from {}", client.name()))?;
            let moved = before.moved(&scenario.agents[0])?;
            moved.expect_tc_alone().with_context(|| format!("from {}", client.name()))?;
        }
        Ok(())
    })?;
    translated_by_tc(&scenario, &wire, (&clients, &SERVED), |target, family| scenario.node_port(0, target, family))
}

/// What clients dialled came to the first node as they had sent it, past XDP, and to pods by their own addresses.
fn translated_by_tc(
    scenario: &Scenario,
    wire: &Wire,
    (clients, targets): (&[&Host], &[Target]),
    dialled: impl Fn(Target, Family) -> SocketAddr,
) -> Result<()> {
    for (family, proto) in families_and_protocols() {
        for &target in targets {
            let to = dialled(target, family);
            clients.iter().try_for_each(|client| wire.expect_sent(client, proto, to).map(drop))?;
            wire.expect_received(scenario.cluster.node(0), proto, to)?;
            [&scenario.near, &scenario.far].iter().try_for_each(|pod| wire.expect_not_received(pod, proto, to))?;
        }
        for pod in [&scenario.near, &scenario.far] {
            wire.expect_received(pod, proto, pod.at(family, POD_PORT))?;
        }
    }
    Ok(())
}

fn dial_node_ports(scenario: &Scenario, client: &Host) -> Result<()> {
    for (family, proto) in families_and_protocols() {
        for target in SERVED {
            let to = scenario.node_port(0, target, family);
            let outcomes = client.probe(Probe { close: Close::Server, ..Probe::times(proto, to, 10) })?;
            let own: Vec<_> = outcomes.iter().filter_map(|outcome| Some(outcome.local?.ip())).collect();
            let case = format!("{to} {proto}");
            expect::answered_to(&case, &outcomes, to, &scenario.backends(target), |by, ip| match by {
                "near" => own.contains(&ip),
                _ => scenario.is_node_address(0, ip),
            })?;
        }
    }
    for family in Family::BOTH {
        expect::echoed(client, scenario.node_port(0, Target::Near, family))?;
        expect::echoed(client, scenario.node_port(0, Target::Far, family))?;
    }
    Ok(())
}

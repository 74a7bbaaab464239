//! Flows of the per-packet path: ports that collide, ports that run out, ports that come back, and backends that are
//! frontends themselves.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::{Hooks, Moved};
use sluice_tests::manifests::Service;
use sluice_tests::scenario::{POD_PORT, Target};
use sluice_tests::traffic::{self, Close, Held, HeldReport, Load, LoadReport, Probe};
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec, cluster_ip, wait};

/// Connections that one client makes to one remote backend: more than three times as many as there are ports.
const SEQUENCE: u64 = 200_000;
/// How long closed flows may stay: a minute after FIN, and one pass of expiry.
const EXPIRY: Duration = Duration::from_secs(120);
/// A change or a count that takes longer is lost.
const SOON: Duration = Duration::from_secs(10);
/// A NodePort that goes from one Service to another.
const LENT: u16 = 30_200;
/// Exchanges over two held connections that prove that both work.
const EXCHANGES: u64 = 20;

/// Which hooks are to have translated what went to a target.
type Served = fn(Target, &Moved) -> Result<()>;

fn by_tc(_: Target, moved: &Moved) -> Result<()> {
    moved.expect_tc_alone()
}

/// The replies of a local backend have no XDP on their way out; nothing else is left to tc.
fn by_xdp(target: Target, moved: &Moved) -> Result<()> {
    if target == Target::Near { moved.expect_xdp_in_tc_out() } else { moved.expect_xdp_alone() }
}

#[test]
fn one_source_port_two_frontends_one_backend_by_tc() -> Result<()> {
    let scenario = Scenario::start("flows-port-tc", Spec::new(PodNetwork::Routed), &["--xdp", "off"])?;
    two_frontends_from_one_port(&scenario, by_tc)
}

#[test]
fn one_source_port_two_frontends_one_backend_by_xdp() -> Result<()> {
    let scenario = Scenario::start_on_physical_wire("flows-port-xdp", Spec::new(PodNetwork::Routed), &["--xdp", "require"])?;
    two_frontends_from_one_port(&scenario, by_xdp)
}

fn two_frontends_from_one_port(scenario: &Scenario, served: Served) -> Result<()> {
    let outside = scenario.cluster.outside();
    for (backend, pod) in [(Target::Near, (&scenario.near, "node1")), (Target::Far, (&scenario.far, "node2"))] {
        scenario.set_endpoints(Target::Both, &[pod])?;
        wait_for_backend(outside, scenario.node_port(0, Target::Both, Family::V4), pod.0.name())?;
        for (family, proto) in families_and_protocols() {
            let before = Hooks::of(&scenario.agents[0])?;
            let frontends = [backend, Target::Both].map(|target| scenario.node_port(0, target, family));
            let targets = frontends.map(|to| traffic::Target::new(proto, to)).to_vec();
            let bind = Some(outside.at(family, 20_000));
            let mut held = outside.hold(Held { targets, count: 1, bind, interval_ms: 20, timeout_ms: 1000 })?;
            wait::until(SOON, "exchanges", || (held.held().exchanges >= EXCHANGES).then_some(()))?;
            let report: HeldReport = held.finish()?;
            let case = format!("{} {family} {proto}: {report:?}", backend.name());
            ensure!(report.opened == 2 && report.broken.is_empty() && report.unanswered == 0, "{case}");
            ensure!(report.answerers.len() == 1 && report.answerers.contains_key(backend.name()), "{case}");
            let moved = before.moved(&scenario.agents[0])?;
            served(backend, &moved).context(case.clone())?;
            let exchanged = moved.all.contains("reason=\"port_exchanged\"");
            ensure!(exchanged == (backend == Target::Near), "{case}: a port that was exchanged, or not:\n{}", moved.all);
        }
    }
    Ok(())
}

#[test]
fn two_hundred_thousand_connections_in_sequence_and_no_flow_left() -> Result<()> {
    let scenario = Scenario::start("flows-sequence", Spec::new(PodNetwork::Routed), &[])?;
    let before = Hooks::of(&scenario.agents[0])?;
    let target = traffic::Target::new(Proto::Tcp, scenario.node_port(0, Target::Far, Family::V4));
    // The client closes first, so that TIME-WAIT is its own: a backend in TIME-WAIT refuses a SYN whose time stamp is older, as
    // that of another connection on the same source port may be (PAWS, RFC 7323).
    let load = Load { workers: 1, limit: SEQUENCE, close: Close::Client, ..Load::new(vec![target], 0) };
    let client = scenario.cluster.outside().netns();
    client.sysctl("net/ipv4/tcp_tw_reuse", "1")?;
    client.sysctl("net/ipv4/ip_local_port_range", "1024 65535")?;
    let begin = std::time::Instant::now();
    let report: LoadReport = scenario.cluster.outside().load(load)?.report(Duration::from_secs(600))?;
    println!("REPORT: {SEQUENCE} connections in sequence to one remote backend in {:.1} s", begin.elapsed().as_secs_f64());
    ensure!(report.failed() == 0 && report.requests() == SEQUENCE, "{} failed: {}", report.failed(), report.failures());
    before.moved(&scenario.agents[0])?.expect_tc_alone()?;
    let begin = std::time::Instant::now();
    wait::until(SOON, "flows to be counted", || (flows(&scenario)? > 0).then_some(()))?;
    wait::until(EXPIRY, "all flows to expire", || (flows(&scenario)? == 0).then_some(()))?;
    println!("REPORT: all flows were gone {:.1} s later", begin.elapsed().as_secs_f64());
    Ok(())
}

#[test]
fn a_port_comes_back_after_its_backend_was_replaced() -> Result<()> {
    let scenario = Scenario::start("flows-reuse", Spec::new(PodNetwork::Bridged), &[])?;
    let outside = scenario.cluster.outside();
    let pods = [(&scenario.near, "node1"), (&scenario.far, "node2")];
    for (turn, (family, proto)) in families_and_protocols().enumerate() {
        let to = scenario.node_port(0, Target::Both, family);
        let bind = Some(outside.at(family, 21_000 + turn as u16));
        let dial = || outside.probe(Probe { bind, close: Close::Server, ..Probe::once(proto, to) });
        for pod in [pods[0], pods[1], pods[0]] {
            scenario.set_endpoints(Target::Both, &[pod])?;
            wait_for_backend(outside, to, pod.0.name())?;
            let (case, before) = (format!("{to} {proto} from one port"), Hooks::of(&scenario.agents[0])?);
            expect::answered(&case, &dial()?, to, &[pod.0.name()])?;
            expect::answered(&case, &dial()?, to, &[pod.0.name()])?;
            before.settled(&scenario.agents[0])?.expect_tc_alone().context(case)?;
        }
    }
    Ok(())
}

#[test]
fn a_backend_that_is_a_frontend_too_is_served_once_by_tc() -> Result<()> {
    let mut scenario = Scenario::start("flows-chain-tc", Spec::new(PodNetwork::Routed), &["--xdp", "off"])?;
    backends_that_are_frontends(&mut scenario, by_tc)
}

#[test]
fn a_backend_that_is_a_frontend_too_is_served_once_by_xdp() -> Result<()> {
    let mut scenario =
        Scenario::start_on_physical_wire("flows-chain-xdp", Spec::new(PodNetwork::Routed), &["--xdp", "require"])?;
    backends_that_are_frontends(&mut scenario, by_xdp)
}

/// Two Services whose ClusterIPs are the addresses of the pods, each served by the other pod: whoever translates twice
/// ends at the wrong one. `by` says which hooks translate.
fn backends_that_are_frontends(scenario: &mut Scenario, by: Served) -> Result<()> {
    // To the other node, what arrives for that frontend is a connection like any other, and it would translate it.
    scenario.agents.pop().context("two agents")?.clean()?;
    let outside = scenario.cluster.outside();
    for (name, own, other, node) in
        [("as-near", &scenario.near, &scenario.far, "node2"), ("as-far", &scenario.far, &scenario.near, "node1")]
    {
        let ips = Family::BOTH.map(|family| own.ip(family));
        let service =
            Proto::BOTH.into_iter().fold(Service::new(name, &ips), |service, proto| service.port(proto, POD_PORT, POD_PORT, 0));
        for family in Family::BOTH {
            scenario.manifests.put_slice(&service.slice(family).endpoint(other.ip(family), node))?;
        }
        scenario.manifests.put_service(&service)?;
        wait_for_backend(scenario.cluster.node(0), own.at(Family::V6, POD_PORT), other.name()).context("the socket hooks")?;
    }
    for (family, proto) in families_and_protocols() {
        for target in [Target::Near, Target::Far] {
            let (to, before) = (scenario.node_port(0, target, family), Hooks::of(&scenario.agents[0])?);
            let case = format!("{to} {proto}");
            expect::answered(&case, &outside.probe(Probe::times(proto, to, 10))?, to, &scenario.backends(target))?;
            by(target, &before.settled(&scenario.agents[0])?).context(case)?;
        }
    }
    Ok(())
}

/// The remembered flow of a client that goes on sending ends with the change, however long it would have lived.
#[test]
fn s13_datagrams_follow_a_node_port_to_another_service() -> Result<()> {
    let scenario = Scenario::start("flows-moved", Spec::new(PodNetwork::Routed), &[])?;
    let (near, far) = ([(&scenario.near, "node1")], [(&scenario.far, "node2")]);
    scenario.put(&lent("first", 200, LENT), &near)?;
    let targets = Family::BOTH.map(|family| traffic::Target::new(Proto::Udp, scenario.cluster.node(0).at(family, LENT)));
    let held = Held { targets: targets.to_vec(), count: 1, bind: None, interval_ms: 20, timeout_ms: 1000 };
    let mut held = scenario.cluster.outside().hold(held)?;
    wait::until(SOON, "exchanges", || (held.held().exchanges >= EXCHANGES).then_some(()))?;
    // The first has the port as long as it asks for it.
    scenario.put(&lent("second", 201, LENT), &far)?;
    ensure!(held.held().moved == 0, "{:?}", held.held());
    scenario.put(&lent("first", 200, 0), &near)?;
    wait::until(SOON, "an answer of the second's backend in each family", || (held.held().moved == 2).then_some(()))?;
    let report: HeldReport = held.finish()?;
    ensure!(report.broken.is_empty() && report.unanswered == 0 && report.moved == 2, "{report:?}");
    Ok(())
}

/// What a client dials too early is refused, and leaves nothing that its port would meet again.
#[test]
fn s45_a_client_that_dialled_too_early_is_served_from_the_same_port() -> Result<()> {
    let scenario = Scenario::start("flows-early", Spec::new(PodNetwork::Routed), &[])?;
    let (outside, node) = (scenario.cluster.outside(), scenario.cluster.node(0));
    let cases: Vec<_> = families_and_protocols()
        .enumerate()
        .map(|(turn, (family, proto))| {
            let (to, bind) = (node.at(family, LENT), Some(outside.at(family, 22_000 + turn as u16)));
            Probe { bind, close: Close::Server, ..Probe::once(proto, to) }
        })
        .collect();
    for probe in &cases {
        let early = outside.probe(Probe { timeout_ms: 200, ..probe.clone() })?;
        ensure!(early.iter().all(|outcome| outcome.result.is_err()), "before there is a Service: {early:?}");
    }
    scenario.put(&lent("late", 202, LENT), &[(&scenario.near, "node1")])?;
    for probe in &cases {
        let before = Hooks::of(&scenario.agents[0])?;
        expect::answered(&probe.target.to, &outside.probe(probe.clone())?, probe.target.to, &["near"])?;
        before.moved(&scenario.agents[0])?.expect_tc_alone()?;
    }
    Ok(())
}

/// A Service of TCP and UDP with this NodePort; 0 = none.
fn lent(name: &str, number: u16, node_port: u16) -> Service {
    let service = Service::new(name, &Family::BOTH.map(|family| cluster_ip(family, number)));
    Proto::BOTH.into_iter().fold(service, |service, proto| service.port(proto, 80, POD_PORT, node_port))
}

/// Waits until an address is served by one pod alone.
fn wait_for_backend(client: &Host, to: SocketAddr, name: &str) -> Result<()> {
    wait::until(SOON, "the change to be programmed", || {
        let outcomes = client.probe(Probe::times(Proto::Tcp, to, 10)).ok()?;
        outcomes.iter().all(|outcome| outcome.result.as_ref().is_ok_and(|answer| answer.by == name)).then_some(())
    })
}

fn flows(scenario: &Scenario) -> Option<u64> {
    Some(scenario.agents[0].metrics().ok()?.gauge("sluice_flows").ok()? as u64)
}

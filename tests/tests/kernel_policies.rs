//! What Services mean beyond an address and a set: who gets which endpoint, and who is dropped or refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_tests::agent::Agent;
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::manifests::Service;
use sluice_tests::scenario::{POD_PORT, PORT};
use sluice_tests::traffic::Probe;
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec, cluster_ip, wait};

const SOON: Duration = Duration::from_secs(3);
const NODE_PORT: u16 = 30_100;
/// The number of the ClusterIP.
const NUMBER: u16 = 100;
/// How long a dropped client waits here.
const PATIENCE_MS: u64 = 300;

/// A Service of TCP and UDP with further lines of `spec`.
fn service(extra: &str) -> Service {
    let ips = Family::BOTH.map(|family| cluster_ip(family, NUMBER));
    let service = Service { extra: extra.to_owned(), ..Service::new("policies", &ips) };
    Proto::BOTH.into_iter().fold(service, |service, proto| service.port(proto, PORT, POD_PORT, NODE_PORT))
}

fn at_cluster_ip(family: Family) -> SocketAddr {
    SocketAddr::new(cluster_ip(family, NUMBER), PORT)
}

/// Puts it in force with these endpoints, on both nodes.
fn put(scenario: &Scenario, service: &Service, pods: &[(&Arc<Host>, &str)]) -> Result<()> {
    for family in Family::BOTH {
        let slice = pods.iter().fold(service.slice(family), |slice, (pod, node)| slice.endpoint(pod.ip(family), node));
        scenario.manifests.put_slice(&slice)?;
    }
    scenario.manifests.put_service(service)?;
    scenario.agents.iter().try_for_each(|agent| {
        let shown = || {
            let text = agent.cli(&["backends", "--service", &format!("default/{}", service.name)]).ok()?;
            let all = pods.iter().all(|(pod, _)| Family::BOTH.iter().all(|&family| text.contains(&pod.ip(family).to_string())));
            (all && text.matches(&format!(":{POD_PORT}")).count() == 4 * pods.len()).then_some(())
        };
        wait::until(SOON, "the Service in the tables", shown)
    })
}

/// Ten connections, each answered by `by`, which sees the client itself.
fn served(client: &Host, to: SocketAddr, proto: Proto, by: &str) -> Result<()> {
    let outcomes = client.probe(Probe::times(proto, to, 10))?;
    expect::answered_to_itself(&format!("{} -> {to} {proto}", client.name()), &outcomes, to, &[by])
}

/// Connections that nobody answers or refuses, counted at this hook for this reason.
fn dropped(agent: &Agent, client: &Host, to: SocketAddr, (hook, reason): (&str, &str)) -> Result<()> {
    let labels = [format!("hook=\"{hook}\""), format!("reason=\"{reason}\"")];
    let count = || Ok::<_, anyhow::Error>(agent.metrics()?.sum("sluice_packets_total", &labels.each_ref().map(String::as_str)));
    for proto in Proto::BOTH {
        let before = count()?;
        let outcomes = client.probe(Probe { timeout_ms: PATIENCE_MS, ..Probe::once(proto, to) })?;
        let failure = outcomes[0].result.as_ref().err().with_context(|| format!("{to} {proto} is answered"))?;
        ensure!(failure.reason == "timeout", "{to} {proto}: {failure}");
        ensure!(count()? > before, "{to} {proto}: nothing is counted as {reason} at {hook}");
    }
    Ok(())
}

#[test]
fn s23_s33_node_ports_of_policy_local_keep_the_client_and_drop_without_a_local_endpoint() -> Result<()> {
    let detector = format!("{POD_CIDR_V4},{POD_CIDR_V6}");
    let scenario = Scenario::start("policy-external", Spec::new(PodNetwork::Routed), &["--cluster-cidr", &detector])?;
    let service = service("  externalTrafficPolicy: Local\n");
    let outside = scenario.cluster.outside();
    put(&scenario, &service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    let at = |node: usize, family| scenario.cluster.node(node).at(family, NODE_PORT);
    for (family, proto) in families_and_protocols() {
        served(outside, at(0, family), proto, "near")?;
        served(outside, at(1, family), proto, "far")?;
    }
    put(&scenario, &service, &[(&scenario.far, "node2")])?;
    for family in Family::BOTH {
        dropped(&scenario.agents[0], outside, at(0, family), ("tc_ingress", "no_local_endpoint"))?;
    }
    for (family, proto) in families_and_protocols() {
        served(outside, at(1, family), proto, "far")?;
        // S31, S32: a pod and a process of the node get the Cluster set.
        served(&scenario.client, at(0, family), proto, "far")?;
        served(scenario.cluster.node(0), at(0, family), proto, "far")?;
    }
    Ok(())
}

#[test]
fn s22_cluster_ips_of_policy_local_stay_on_the_node_and_drop_without_a_local_endpoint() -> Result<()> {
    let scenario = Scenario::start("policy-internal", Spec::new(PodNetwork::Routed), &[])?;
    let service = service("  internalTrafficPolicy: Local\n");
    put(&scenario, &service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    let nodes = [scenario.cluster.node(0), scenario.cluster.node(1)];
    for (family, proto) in families_and_protocols() {
        for client in [&scenario.client, nodes[0]] {
            served(client, at_cluster_ip(family), proto, "near")?;
        }
        served(nodes[1], at_cluster_ip(family), proto, "far")?;
    }
    put(&scenario, &service, &[(&scenario.far, "node2")])?;
    for family in Family::BOTH {
        dropped(&scenario.agents[0], nodes[0], at_cluster_ip(family), ("tc_egress", "no_local_endpoint"))?;
        dropped(&scenario.agents[0], scenario.cluster.outside(), at_cluster_ip(family), ("tc_ingress", "no_local_endpoint"))?;
    }
    Ok(())
}

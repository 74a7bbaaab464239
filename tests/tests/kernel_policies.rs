//! What Services mean beyond an address and a set: who gets which endpoint, and who is dropped or refused.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_tests::agent::Agent;
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6, SERVICE_CIDR_V4, SERVICE_CIDR_V6};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::manifests::Service;
use sluice_tests::scenario::{POD_PORT, PORT};
use sluice_tests::traffic::Probe;
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec, cluster_ip, wait};

const SOON: Duration = Duration::from_secs(3);
const NODE_PORT: u16 = 30_100;
/// The number of the ClusterIP.
const NUMBER: u16 = 100;
/// Addresses of a load balancer.
const BALANCED_V4: &str = "203.0.113.9";
const BALANCED_V6: &str = "2001:db8:113::9";
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
fn s12_s41_load_balancer_and_external_addresses_are_served_at_every_hook() -> Result<()> {
    let scenario = Scenario::start("policy-outer", Spec::new(PodNetwork::Routed), &[])?;
    let (outside, node) = (scenario.cluster.outside(), scenario.cluster.node(0));
    let (balanced, external) = ([BALANCED_V4, BALANCED_V6], ["198.51.100.7", "2001:db8:198::7"]);
    route_to_node(&scenario, outside, &[balanced, external].concat())?;
    let extra = format!("  externalTrafficPolicy: Local\n  externalIPs: [\"{}\", \"{}\"]\n", external[0], external[1]);
    let service = Service { status: ingress(&balanced), ..service(&extra) };
    put(&scenario, &service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    for address in balanced.iter().chain(&external) {
        let to = SocketAddr::new(address.parse()?, PORT);
        for proto in Proto::BOTH {
            served(outside, to, proto, "near")?;
            served(&scenario.client, to, proto, "near")?;
            expect::answered(&to, &node.probe(Probe::times(proto, to, 10))?, to, &["near", "far"])?;
        }
    }
    Ok(())
}

#[test]
fn s56_a_cluster_ip_on_a_device_of_the_node_belongs_to_whoever_listens_there() -> Result<()> {
    let scenario = Scenario::start("policy-taken", Spec::new(PodNetwork::Routed), &[])?;
    put(&scenario, &service(""), &[(&scenario.far, "node2")])?;
    let node = scenario.cluster.node(0);
    let to = at_cluster_ip(Family::V4);
    served(&scenario.client, to, Proto::Tcp, "far")?;
    node.netns().ip(&format!("addr add {}/32 dev lo", to.ip()))?;
    let _server = node.serve(&[PORT])?;
    for client in [node, &scenario.client] {
        wait::until(SOON, "the answer of the node itself", || {
            client.dial(Proto::Tcp, to).ok()?.result.is_ok_and(|answer| answer.by == "node1").then_some(())
        })?;
    }
    Ok(())
}

/// `status` of a Service whose load balancer has these addresses.
fn ingress(addresses: &[&str]) -> String {
    let list: Vec<String> = addresses.iter().map(|address| format!("{{ip: \"{address}\"}}")).collect();
    format!("status: {{loadBalancer: {{ingress: [{}]}}}}\n", list.join(", "))
}

/// The client sends packets for these addresses to the first node.
fn route_to_node(scenario: &Scenario, client: &Host, addresses: &[&str]) -> Result<()> {
    for address in addresses {
        let family = Family::of(address.parse()?);
        let via = scenario.cluster.node(0).ip(family).to_string();
        let bits = if family == Family::V4 { 32 } else { 128 };
        client.netns().ip(&format!("route add {address}/{bits} via {via}"))?;
    }
    Ok(())
}

#[test]
fn s25_s26_other_ports_of_a_cluster_ip_are_refused_and_addresses_of_nobody_dropped() -> Result<()> {
    let cidrs = format!("{SERVICE_CIDR_V4},{SERVICE_CIDR_V6}");
    let scenario = Scenario::start("policy-unknown", Spec::new(PodNetwork::Routed), &["--service-cidrs", &cidrs])?;
    put(&scenario, &service(""), &[(&scenario.near, "node1")])?;
    let (outside, node) = (scenario.cluster.outside(), scenario.cluster.node(0));
    for (family, proto) in families_and_protocols() {
        let to = SocketAddr::new(cluster_ip(family, NUMBER), PORT + 1);
        for client in [&scenario.client, node] {
            expect::refused(&to, &client.probe(Probe::times(proto, to, 3))?)?;
        }
        expect::refused_by_icmp(&to, &outside.probe(Probe::times(proto, to, 3))?, proto)?;
        served(outside, at_cluster_ip(family), proto, "near")?;
    }
    for family in Family::BOTH {
        let nobody = SocketAddr::new(cluster_ip(family, 200), PORT);
        dropped(&scenario.agents[0], outside, nobody, ("tc_ingress", "unallocated"))?;
        dropped(&scenario.agents[0], node, nobody, ("tc_egress", "unallocated"))?;
    }
    Ok(())
}

#[test]
fn s43_a_client_keeps_its_endpoint() -> Result<()> {
    // Without a detector the replies of the other node's endpoint would not pass this one.
    let detector = format!("{POD_CIDR_V4},{POD_CIDR_V6}");
    let scenario = Scenario::start("policy-affinity", Spec::new(PodNetwork::Routed), &["--cluster-cidr", &detector])?;
    put(&scenario, &service("  sessionAffinity: ClientIP\n"), &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    let (outside, node) = (scenario.cluster.outside(), scenario.cluster.node(0));
    for (family, proto) in families_and_protocols() {
        let addresses = [at_cluster_ip(family), node.at(family, NODE_PORT)];
        for client in [outside, &scenario.client, node] {
            let mut by = Vec::new();
            for to in addresses {
                let outcomes = client.probe(Probe::times(proto, to, 10))?;
                by.extend(expect::answered(&to, &outcomes, to, &["near", "far"])?.iter().map(|answer| answer.by.clone()));
            }
            ensure!(by.iter().all(|name| *name == by[0]), "{} {family} {proto}: {by:?}", client.name());
        }
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

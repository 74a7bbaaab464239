//! What Services mean beyond an address and a set: who gets which endpoint, and who is dropped or refused.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6, SERVICE_CIDR_V4, SERVICE_CIDR_V6};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::Hooks;
use sluice_tests::inlet::Inlet;
use sluice_tests::manifests::{Service, ingress};
use sluice_tests::scenario::{POD_PORT, PORT};
use sluice_tests::traffic::Probe;
use sluice_tests::{Family, PodNetwork, Proto, Scenario, Spec, cluster_ip, wait};

const SOON: Duration = Duration::from_secs(3);
const NODE_PORT: u16 = 30_100;
/// The number of the ClusterIP.
const NUMBER: u16 = 100;
/// Addresses of a load balancer.
const BALANCED_V4: &str = "203.0.113.9";
const BALANCED_V6: &str = "2001:db8:113::9";

/// A Service of TCP and UDP with further lines of `spec`.
fn service(extra: &str) -> Service {
    let ips = Family::BOTH.map(|family| cluster_ip(family, NUMBER));
    let service = Service { extra: extra.to_owned(), ..Service::new("policies", &ips) };
    Proto::BOTH.into_iter().fold(service, |service, proto| service.port(proto, PORT, POD_PORT, NODE_PORT))
}

fn at_cluster_ip(family: Family) -> SocketAddr {
    SocketAddr::new(cluster_ip(family, NUMBER), PORT)
}

#[test]
fn s23_s33_node_ports_of_policy_local_keep_the_client_and_drop_without_a_local_endpoint() -> Result<()> {
    external_policy(Inlet::Tc)
}

#[test]
fn s23_s33_node_ports_of_policy_local_keep_the_client_and_drop_without_a_local_endpoint_at_xdp() -> Result<()> {
    external_policy(Inlet::Xdp)
}

fn external_policy(inlet: Inlet) -> Result<()> {
    let detector = format!("{POD_CIDR_V4},{POD_CIDR_V6}");
    let scenario = inlet.start("policy-external", Spec::new(PodNetwork::Routed), &["--cluster-cidr", &detector])?;
    let service = service("  externalTrafficPolicy: Local\n");
    let outside = scenario.cluster.outside();
    scenario.put(&service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    let at = |node: usize, family| scenario.cluster.node(node).at(family, NODE_PORT);
    for (family, proto) in families_and_protocols() {
        inlet.served(&scenario.agents[0], outside, at(0, family), (proto, "near"))?;
        inlet.served(&scenario.agents[1], outside, at(1, family), (proto, "far"))?;
    }
    scenario.put(&service, &[(&scenario.far, "node2")])?;
    for family in Family::BOTH {
        inlet.dropped(&scenario.agents[0], outside, at(0, family), "no_local_endpoint")?;
    }
    for (family, proto) in families_and_protocols() {
        inlet.served(&scenario.agents[1], outside, at(1, family), (proto, "far"))?;
        // S31, S32: a pod and a process of the node get the Cluster set.
        expect::served(&scenario.client, at(0, family), proto, "far")?;
        expect::served(scenario.cluster.node(0), at(0, family), proto, "far")?;
    }
    Ok(())
}

#[test]
fn s12_s41_load_balancer_and_external_addresses_are_served_at_every_hook() -> Result<()> {
    outer_addresses(Inlet::Tc)
}

#[test]
fn s12_s41_load_balancer_and_external_addresses_are_served_at_every_hook_at_xdp() -> Result<()> {
    outer_addresses(Inlet::Xdp)
}

fn outer_addresses(inlet: Inlet) -> Result<()> {
    let scenario = inlet.start("policy-outer", Spec::new(PodNetwork::Routed), &[])?;
    let (outside, node) = (scenario.cluster.outside(), scenario.cluster.node(0));
    let (balanced, external) = ([BALANCED_V4, BALANCED_V6], ["198.51.100.7", "2001:db8:198::7"]);
    scenario.route_to_node(outside, &[balanced, external].concat())?;
    let extra = format!("  externalTrafficPolicy: Local\n  externalIPs: [\"{}\", \"{}\"]\n", external[0], external[1]);
    let service = Service { status: ingress(&balanced), ..service(&extra) };
    scenario.put(&service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    for address in balanced.iter().chain(&external) {
        let to = SocketAddr::new(address.parse()?, PORT);
        for proto in Proto::BOTH {
            inlet.served(&scenario.agents[0], outside, to, (proto, "near"))?;
            expect::served(&scenario.client, to, proto, "near")?;
            expect::answered(&to, &node.probe(Probe::times(proto, to, 10))?, to, &["near", "far"])?;
        }
    }
    Ok(())
}

#[test]
fn s56_a_cluster_ip_on_a_device_of_the_node_belongs_to_whoever_listens_there() -> Result<()> {
    let scenario = Scenario::start("policy-taken", Spec::new(PodNetwork::Routed), &[])?;
    scenario.put(&service(""), &[(&scenario.far, "node2")])?;
    let node = scenario.cluster.node(0);
    let to = at_cluster_ip(Family::V4);
    expect::served(&scenario.client, to, Proto::Tcp, "far")?;
    node.netns().ip(&format!("addr add {}/32 dev lo", to.ip()))?;
    let _server = node.serve(&[PORT])?;
    for client in [node, &scenario.client] {
        wait::until(SOON, "the answer of the node itself", || {
            client.dial(Proto::Tcp, to).ok()?.result.is_ok_and(|answer| answer.by == "node1").then_some(())
        })?;
    }
    Ok(())
}

#[test]
fn s25_s26_other_ports_of_a_cluster_ip_are_refused_and_addresses_of_nobody_dropped() -> Result<()> {
    unknown(Inlet::Tc)
}

#[test]
fn s25_s26_other_ports_of_a_cluster_ip_are_refused_and_addresses_of_nobody_dropped_at_xdp() -> Result<()> {
    unknown(Inlet::Xdp)
}

fn unknown(inlet: Inlet) -> Result<()> {
    let cidrs = format!("{SERVICE_CIDR_V4},{SERVICE_CIDR_V6}");
    let scenario = inlet.start("policy-unknown", Spec::new(PodNetwork::Routed), &["--service-cidrs", &cidrs])?;
    scenario.put(&service(""), &[(&scenario.near, "node1")])?;
    let (agent, outside, node) = (&scenario.agents[0], scenario.cluster.outside(), scenario.cluster.node(0));
    for (family, proto) in families_and_protocols() {
        let to = SocketAddr::new(cluster_ip(family, NUMBER), PORT + 1);
        for client in [&scenario.client, node] {
            expect::refused(&to, &client.probe(Probe::times(proto, to, 3))?)?;
        }
        inlet.refused(agent, outside, to, proto)?;
        inlet.served(agent, outside, at_cluster_ip(family), (proto, "near"))?;
    }
    for family in Family::BOTH {
        let nobody = SocketAddr::new(cluster_ip(family, 200), PORT);
        inlet.dropped(agent, outside, nobody, "unallocated")?;
        expect::dropped(agent, node, nobody, ("tc_egress", "unallocated"))?;
    }
    Ok(())
}

#[test]
fn s26_a_service_cidr_object_takes_effect_at_once_and_so_does_its_end() -> Result<()> {
    service_cidr_object(Inlet::Tc)
}

#[test]
fn s26_a_service_cidr_object_takes_effect_at_once_and_so_does_its_end_at_xdp() -> Result<()> {
    service_cidr_object(Inlet::Xdp)
}

fn service_cidr_object(inlet: Inlet) -> Result<()> {
    let scenario = inlet.start("policy-cidr-object", Spec::new(PodNetwork::Routed), &["--service-cidrs", "10.255.0.0/24"])?;
    scenario.put(&service(""), &[(&scenario.near, "node1")])?;
    let agent = &scenario.agents[0];
    let cidrs = |wanted: &str| {
        let known = || agent.cli(&["status"]).ok().filter(|text| text.contains(wanted));
        wait::until(SOON, &format!("status to say {wanted:?}"), known).map(drop)
    };
    cidrs("10.255.0.0/24, from the configuration")?;
    let object = format!(
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {{name: kubernetes}}\n\
         spec: {{cidrs: [{SERVICE_CIDR_V4}, '{SERVICE_CIDR_V6}']}}\n"
    );
    scenario.manifests.put("cidr.yaml", &object)?;
    cidrs("from ServiceCIDR objects")?;
    for family in Family::BOTH {
        let nobody = SocketAddr::new(cluster_ip(family, 200), PORT);
        expect::dropped(agent, scenario.cluster.node(0), nobody, ("tc_egress", "unallocated"))?;
        inlet.dropped(agent, scenario.cluster.outside(), nobody, "unallocated")?;
        inlet.served(agent, scenario.cluster.outside(), at_cluster_ip(family), (Proto::Tcp, "near"))?;
    }
    scenario.manifests.remove("cidr.yaml")?;
    cidrs("10.255.0.0/24, from the configuration")?;
    let of_nobody = SocketAddr::new("10.255.0.1".parse()?, PORT);
    expect::dropped(agent, scenario.cluster.node(0), of_nobody, ("tc_egress", "unallocated"))
}

#[test]
fn s43_a_client_keeps_its_endpoint() -> Result<()> {
    affinity(Inlet::Tc)
}

#[test]
fn s43_a_client_keeps_its_endpoint_at_xdp() -> Result<()> {
    affinity(Inlet::Xdp)
}

fn affinity(inlet: Inlet) -> Result<()> {
    // Without a detector the replies of the other node's endpoint would not pass this one.
    let detector = format!("{POD_CIDR_V4},{POD_CIDR_V6}");
    let scenario = inlet.start("policy-affinity", Spec::new(PodNetwork::Routed), &["--cluster-cidr", &detector])?;
    scenario.put(&service("  sessionAffinity: ClientIP\n"), &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    let (outside, node) = (scenario.cluster.outside(), scenario.cluster.node(0));
    for (family, proto) in families_and_protocols() {
        let addresses = [at_cluster_ip(family), node.at(family, NODE_PORT)];
        for client in [outside, &scenario.client, node] {
            let (mut by, before) = (Vec::new(), Hooks::of(&scenario.agents[0])?);
            for to in addresses {
                let outcomes = client.probe(Probe::times(proto, to, 10))?;
                by.extend(expect::answered(&to, &outcomes, to, &["near", "far"])?.iter().map(|answer| answer.by.clone()));
            }
            ensure!(by.iter().all(|name| *name == by[0]), "{} {family} {proto}: {by:?}", client.name());
            let moved = before.settled(&scenario.agents[0])?;
            if std::ptr::eq(client, outside) {
                // One of the two addresses at least has a way that XDP can go, wherever the endpoint is.
                let xdp = moved.xdp > 0;
                ensure!(xdp == (inlet == Inlet::Xdp) && moved.sockets == 0, "{family} {proto}:\n{}", moved.all);
            }
        }
    }
    Ok(())
}

#[test]
fn s22_cluster_ips_of_policy_local_stay_on_the_node_and_drop_without_a_local_endpoint() -> Result<()> {
    internal_policy(Inlet::Tc)
}

#[test]
fn s22_cluster_ips_of_policy_local_stay_on_the_node_and_drop_without_a_local_endpoint_at_xdp() -> Result<()> {
    internal_policy(Inlet::Xdp)
}

fn internal_policy(inlet: Inlet) -> Result<()> {
    let scenario = inlet.start("policy-internal", Spec::new(PodNetwork::Routed), &[])?;
    let service = service("  internalTrafficPolicy: Local\n");
    scenario.put(&service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    let nodes = [scenario.cluster.node(0), scenario.cluster.node(1)];
    for (family, proto) in families_and_protocols() {
        for client in [&scenario.client, nodes[0]] {
            expect::served(client, at_cluster_ip(family), proto, "near")?;
        }
        inlet.served(&scenario.agents[0], scenario.cluster.outside(), at_cluster_ip(family), (proto, "near"))?;
        expect::served(nodes[1], at_cluster_ip(family), proto, "far")?;
    }
    scenario.put(&service, &[(&scenario.far, "node2")])?;
    for family in Family::BOTH {
        expect::dropped(&scenario.agents[0], nodes[0], at_cluster_ip(family), ("tc_egress", "no_local_endpoint"))?;
        inlet.dropped(&scenario.agents[0], scenario.cluster.outside(), at_cluster_ip(family), "no_local_endpoint")?;
    }
    Ok(())
}

//! The Node object comes late, or changes while agents follow it: its zone, podCIDRs and addresses, a deletion that waits for a finalizer, a
//! Node that is gone and comes back, and the taint of the cluster autoscaler; each step seen by real connections.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::cluster::{gateway_ip, pod_cidr};
use sluice_tests::controlplane::Etcd;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, World};
use sluice_tests::traffic::Probe;
use sluice_tests::{Agent, Family, Host, Proto, cluster_ip, wait};

const NODE: &str = "node1";
const OTHER: [&str; 2] = ["192.168.50.211", "fd00:50::211"];

#[test]
fn s51_s54_a_node_that_changes_goes_and_comes_back() -> Result<()> {
    let world = zoned("api-node")?;
    the_primary_address_changes(&world)?;
    let loads = vec![
        world.client.load(world::load(service(Family::V4)))?,
        world.cluster.outside().load(world::load(world.cluster.node(0).at(Family::V4, NODE_PORT)))?,
    ];
    zones_move_connections(&world)?;
    pod_cidrs_come(&world)?;
    the_node_goes_and_comes_back(&world)?;
    the_autoscaler_wants_it(&world)?;
    world::lost_nothing(loads)
}

#[test]
fn s39_s54_a_node_object_that_comes_late() -> Result<()> {
    let mut world = World::without_agents("api-node-late", Etcd::Current)?;
    let own = Family::BOTH.map(|family| world.cluster.node(0).ip(family));
    let other = other_addresses(&world)?;
    world.plane.remove_node(NODE)?;
    world.begin(&world.plane.agent_kubeconfig(), &[])?;
    world.plane.add_service(&World::service())?;
    // The slice controller leaves out pods of nodes that it does not know.
    world.plane.add_pod(&World::pods(&world.pod_ips())[1])?;
    for (served, refused) in [(&other[..], &own[..]), (&own, &other)] {
        prefer(world.cluster.node(0), served)?;
        at_addresses(&world, served, refused, "far").context("S39: the sources that default routes prefer")?;
    }
    eligible(&world.agents[0], false).context("S51: a node without an object")?;
    world.plane.add_node(NODE, &[&other[..], &own].concat())?;
    at_addresses(&world, &other, &own, "far").context("S39, S54: the addresses of an object that came late")?;
    eligible(&world.agents[0], true)
}

/// Connections that leave the node by its default routes have these addresses.
fn prefer(node: &Host, sources: &[IpAddr]) -> Result<()> {
    sources.iter().try_for_each(|source| {
        let family = if source.is_ipv4() { "-4" } else { "-6" };
        let route = node.run("ip", &[family, "route", "show", "default"])?;
        let gateway = route.split(' ').nth(2).context("no gateway")?;
        node.netns().ip(&format!("route replace default via {gateway} dev eth0 src {source}"))
    })
}

/// Two zones with a node and a pod each, and a Service whose slices have the hints that the slice controller gave them. It
/// manages them no more, so that they are told from what the agent makes of the Node.
fn zoned(test: &str) -> Result<World> {
    let mut world = World::without_agents(test, Etcd::Current)?;
    for (node, zone) in [(NODE, "a"), ("node2", "b")] {
        world.plane.patch_node(node, &in_zone(Some(zone)))?;
    }
    world.launch(&world.plane.agent_kubeconfig(), &["--detect-local-mode", "NodeCIDR"])?;
    let plane = &world.plane;
    plane.add_service(&World::service())?;
    plane.patch_service("web", &json!({"spec": {"trafficDistribution": "PreferClose"}}))?;
    let ips = world.pod_ips();
    World::pods(&ips).iter().try_for_each(|pod| plane.add_pod(pod))?;
    here(&world, &["near"]).context("S19: hints for the node's zone")?;
    world::wait_for(world.cluster.node(1), service(Family::V4), &["far"]).context("S19: hints for the other zone")?;
    plane.patch_service("web", &json!({"spec": {"selector": null}}))?;
    Ok(world)
}

fn zones_move_connections(world: &World) -> Result<()> {
    for (zone, answering) in
        [(Some("b"), &["far"][..]), (None, &["far", "near"]), (Some("c"), &["far", "near"]), (Some("a"), &["near"])]
    {
        world.plane.patch_node(NODE, &in_zone(zone))?;
        here(world, answering).with_context(|| format!("S19, S54: a node in zone {zone:?}"))?;
    }
    world::wait_for(world.cluster.node(1), service(Family::V6), &["far"]).context("the other node is where it was")
}

fn pod_cidrs_come(world: &World) -> Result<()> {
    becomes(world, false).context("S38: a node without podCIDRs")?;
    let cidrs = Family::BOTH.map(|family| pod_cidr(family, 0));
    world.plane.patch_node(NODE, &json!({"spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs}}))?;
    becomes(world, true).context("S38, S54: podCIDRs that came late")
}

/// NodePorts are served at the first address of each family.
fn the_primary_address_changes(world: &World) -> Result<()> {
    let own = Family::BOTH.map(|family| world.cluster.node(0).ip(family));
    let other = other_addresses(world)?;
    at_addresses(world, &own, &other, "near").context("S39: addresses that the Node object lacks")?;
    world.plane.set_node_addresses(NODE, &[&other[..], &own].concat())?;
    at_addresses(world, &other, &own, "near").context("S39, S54: InternalIPs that come first")?;
    world.plane.set_node_addresses(NODE, &own)?;
    at_addresses(world, &own, &other, "near").context("S39, S54: InternalIPs that went")
}

/// Gives node 0 one address more of each family.
fn other_addresses(world: &World) -> Result<[IpAddr; 2]> {
    let lines = OTHER.map(|ip| format!("addr add {ip} dev eth0{}\n", if ip.contains(':') { " nodad" } else { "" }));
    world.cluster.node(0).netns().ip(&lines.concat())?;
    let [v4, v6] = OTHER.map(IpAddr::from_str);
    Ok([v4?, v6?])
}

/// Waits until the NodePort is served at these addresses, by this pod alone, and not at those.
fn at_addresses(world: &World, served: &[IpAddr], refused: &[IpAddr], by: &str) -> Result<()> {
    let (outside, at) = (world.cluster.outside(), |ip: &IpAddr| SocketAddr::new(*ip, NODE_PORT));
    served.iter().try_for_each(|ip| world::wait_for(outside, at(ip), &[by]))?;
    refused.iter().try_for_each(|ip| world::wait_refused(outside, at(ip)))
}

fn the_node_goes_and_comes_back(world: &World) -> Result<()> {
    let agent = &world.agents[0];
    world.plane.patch_node(NODE, &json!({"metadata": {"finalizers": ["sluice.dev/test"]}}))?;
    world.plane.remove_node(NODE)?;
    eligible(agent, false).context("S51: a node that is being deleted")?;
    here(world, &["near"]).context("a node that is being deleted serves as before")?;

    world.plane.patch_node(NODE, &json!({"metadata": {"finalizers": null}}))?;
    here(world, &["far", "near"]).context("S54: a node without an object has no zone")?;
    eligible(agent, false).context("S51: a node without an object")?;
    let at_node = world.cluster.node(0).at(Family::V6, NODE_PORT);
    world::wait_for(world.cluster.outside(), at_node, &["far", "near"]).context("S39: NodePorts without a Node object")?;

    world.plane.add_node(NODE, &Family::BOTH.map(|family| world.cluster.node(0).ip(family)))?;
    world.plane.patch_node(NODE, &in_zone(Some("a")))?;
    eligible(agent, true).context("S51, S54: a node that came back")?;
    here(world, &["near"]).context("S54: with its zone")?;
    pod_cidrs_come(world)
}

fn the_autoscaler_wants_it(world: &World) -> Result<()> {
    let taint = json!({"key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule"});
    for (taints, wanted) in [(json!([taint]), false), (Value::Null, true)] {
        world.plane.patch_node(NODE, &json!({"spec": {"taints": taints}}))?;
        eligible(&world.agents[0], wanted).context("S51: the taint of the cluster autoscaler")?;
    }
    here(world, &["near"]).context("all as it was")
}

fn in_zone(zone: Option<&str>) -> Value {
    json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}})
}

fn service(family: Family) -> SocketAddr {
    SocketAddr::new(cluster_ip(family, 10), 80)
}

/// Waits until these pods answer a pod of node 0 and, at the node's NodePort, the outside client.
fn here(world: &World, wanted: &[&str]) -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| {
        world::wait_for(&world.client, service(family), wanted)?;
        world::wait_for(world.cluster.outside(), world.cluster.node(0).at(family, NODE_PORT), wanted)
    })
}

/// Waits until `/healthz` tells whether the node may get traffic; `/livez` says all the while that the agent is well.
fn eligible(agent: &Agent, wanted: bool) -> Result<()> {
    let known = || {
        let page = agent.healthz().ok()?;
        let told: Value = serde_json::from_str(&page.body).ok()?;
        let status = if wanted { 200 } else { 503 };
        (page.status == status && told["nodeEligible"] == wanted && told["healthy"] == true).then_some(())
    };
    wait::until(LIMIT, &format!("/healthz to say that the node is eligible: {wanted}"), known)
        .with_context(|| format!("{:?}\n{}", agent.healthz(), agent.log_tail(10)))?;
    let page = agent.livez()?;
    ensure!(page.status == 200 && !page.body.contains("nodeEligible"), "/livez answers {}: {}", page.status, page.body);
    Ok(())
}

/// Waits until connections from outside to the ClusterIP are masqueraded by node 0, or are not.
fn becomes(world: &World, wanted: bool) -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| {
        let what = format!("{family}: masqueraded: {wanted}");
        wait::until(LIMIT, &what, || masqueraded(world, family).filter(|found| *found == wanted)).map(drop)
    })
}

fn masqueraded(world: &World, family: Family) -> Option<bool> {
    let outcomes = world.cluster.outside().probe(Probe::times(Proto::Tcp, service(family), 3)).ok()?;
    let peers: Vec<IpAddr> = outcomes.iter().filter_map(|outcome| Some(outcome.result.as_ref().ok()?.peer.ip())).collect();
    let node = [world.cluster.node(0).ip(family), gateway_ip(family, 0)];
    match (peers.len(), peers.iter().filter(|peer| node.contains(peer)).count()) {
        (3, 3) => Some(true),
        (3, 0) => Some(false),
        _ => None,
    }
}

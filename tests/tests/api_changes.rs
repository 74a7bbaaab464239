//! What may happen to a Service in its life, over a real API server and its controllers, each step seen by real connections.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_tests::controlplane::Pod;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, POD_PORT, World};
use sluice_tests::traffic::LoadReport;
use sluice_tests::{Family, Proto, cluster_ip, http, wait};

const HEADLESS: &str = "service.kubernetes.io/headless";
const BALANCED: &str = "203.0.113.9";

fn service_ip(family: Family) -> SocketAddr {
    SocketAddr::new(cluster_ip(family, 10), 80)
}

/// A world whose Service has both pods.
fn served(test: &str) -> Result<World> {
    let world = World::start(test)?;
    world.serve_web()?;
    Ok(world)
}

#[test]
fn s1_s2_s12_s13_labels_and_types_take_effect_live() -> Result<()> {
    let world = served("api-types")?;
    let (plane, outside) = (&world.plane, world.cluster.outside());
    let node_port = world.cluster.node(1).at(Family::V4, NODE_PORT);

    plane.patch_service("web", &json!({"spec": {"selector": null}}))?;
    plane.label_slices("web", HEADLESS, Some(""))?;
    world::wait_refused(outside, node_port).context("S1: slices of a headless Service")?;
    plane.label_slices("web", HEADLESS, None)?;
    world.wait_for_answers(&["far", "near"]).context("S1: slices that came back")?;
    plane.patch_service("web", &json!({"spec": {"selector": {"app": "web"}}}))?;

    plane.patch_service("web", &json!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}))?;
    plane.set_ingress("web", BALANCED)?;
    let balanced = SocketAddr::new(BALANCED.parse()?, 80);
    world::wait_for(&world.client, balanced, &["near"]).context("S12, S31: a pod, and no detector that knows it")?;
    world::wait_for(outside, node_port, &["far"]).context("S33: policy Local from outside")?;
    let service = plane.call("GET", "/api/v1/namespaces/default/services/web", "")?;
    let check = service["spec"]["healthCheckNodePort"].as_u64().context("no healthCheckNodePort")? as u16;
    let healthy = || {
        let page = http::get(outside.netns(), world.cluster.node(0).at(Family::V4, check), "/").ok()?;
        (page.status == 200 && page.body.contains("\"localEndpoints\":1")).then_some(())
    };
    wait::until(LIMIT, "S49: the health check of a Service of policy Local", healthy)?;

    plane.patch_service("web", &json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": null}}))?;
    world::wait_refused(outside, node_port).context("S13: a NodePort that is no more")?;
    for family in Family::BOTH {
        world::wait_for(&world.client, service_ip(family), &["far", "near"]).context("a ClusterIP alone")?;
    }
    world::wait_refused(outside, world.cluster.node(0).at(Family::V4, check)).context("S50: a health check that is closed")?;

    plane.patch_service("web", &json!({"spec": {"type": "ExternalName", "externalName": "example.org"}}))?;
    let forgotten = |agent: &sluice_tests::Agent| {
        let text = agent.cli(&["services", "-o", "json"]).ok()?;
        (!text.contains("\"name\": \"web\"")).then_some(())
    };
    for agent in &world.agents {
        wait::until(LIMIT, "S2: an ExternalName to be no Service of ours", || forgotten(agent))?;
    }
    let back = json!({"spec": {
        "type": "NodePort", "externalName": null, "ipFamilyPolicy": "RequireDualStack",
        "clusterIP": cluster_ip(Family::V4, 10), "clusterIPs": Family::BOTH.map(|family| cluster_ip(family, 10)),
        "ports": [{"name": "tcp-80", "port": 80, "targetPort": POD_PORT, "nodePort": NODE_PORT}],
    }});
    plane.patch_service("web", &back)?;
    world.wait_for_answers(&["far", "near"]).context("back to the beginning")
}

#[test]
fn s22_s23_s43_policies_and_affinity_take_effect_live() -> Result<()> {
    let world = served("api-policies")?;
    let (plane, outside) = (&world.plane, world.cluster.outside());
    let at_node = |node: usize| world.cluster.node(node).at(Family::V4, NODE_PORT);

    plane.patch_service("web", &json!({"spec": {"internalTrafficPolicy": "Local"}}))?;
    world::wait_for(&world.client, service_ip(Family::V4), &["near"]).context("a pod of node 1 stays there")?;
    world::wait_for(world.cluster.node(1), service_ip(Family::V6), &["far"]).context("a process of node 2 too")?;
    world::wait_for(outside, at_node(0), &["far", "near"]).context("from outside nothing changes")?;

    plane.patch_service("web", &json!({"spec": {"internalTrafficPolicy": "Cluster", "externalTrafficPolicy": "Local"}}))?;
    world::wait_for(outside, at_node(0), &["near"])?;
    world::wait_for(outside, at_node(1), &["far"])?;
    world::wait_for(&world.client, service_ip(Family::V4), &["far", "near"])?;

    let affinity = json!({"spec": {"externalTrafficPolicy": "Cluster", "sessionAffinity": "ClientIP"}});
    plane.patch_service("web", &affinity)?;
    let one = || world::answerers(outside, at_node(0)).ok().filter(|names| names.len() == 1);
    let kept = wait::until(LIMIT, "one pod alone for a client", one)?;
    for _ in 0..3 {
        ensure!(world::answerers(outside, at_node(0))? == kept, "S43: the client got another pod than {kept:?}");
    }
    plane.patch_service("web", &json!({"spec": {"sessionAffinity": "None"}}))?;
    world.wait_for_answers(&["far", "near"]).context("all as it was")
}

#[test]
fn a_rolling_update_by_the_slice_controller_loses_no_connection() -> Result<()> {
    let world = served("api-rolling")?;
    let plane = &world.plane;
    let new = [(0, "near-2", "node1", "near"), (1, "far-2", "node2", "far")];
    let loads = [
        world.client.load(world::load(service_ip(Family::V4)))?,
        world.client.load(world::load(service_ip(Family::V6)))?,
        world.cluster.outside().load(world::load(world.cluster.node(0).at(Family::V4, NODE_PORT)))?,
        world.cluster.outside().load(world::load(world.cluster.node(1).at(Family::V6, NODE_PORT)))?,
    ];
    let mut servers = Vec::new();
    let mut answering = vec!["far", "near"];
    for (node, name, node_name, old) in new {
        let host = world.cluster.add_pod(node, name)?;
        servers.push(host.serve(&[POD_PORT])?);
        let ips = Family::BOTH.map(|family| host.ip(family));
        plane.add_pod(&Pod { name, app: "web", node: node_name, ips: &ips })?;
        answering.push(name);
        answering.sort_unstable();
        world.wait_for_answers(&answering).with_context(|| format!("{name} has come"))?;
        plane.terminate_pod(old)?;
        answering.retain(|answering| *answering != old);
        world.wait_for_answers(&answering).with_context(|| format!("{old} terminates"))?;
        plane.remove_pod(old)?;
    }
    world.wait_for_answers(&["far-2", "near-2"])?;
    for load in loads {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0 && report.requests() > 0, "during a rolling update: {}", report.failures());
    }
    Ok(())
}

#[test]
fn udp_and_tcp_of_one_number_are_services_of_their_own() -> Result<()> {
    let world = served("api-protocols")?;
    let node_port = world.cluster.node(0).at(Family::V4, NODE_PORT);
    let ports = json!({"spec": {"ports": [
        {"name": "tcp-80", "port": 80, "targetPort": POD_PORT, "nodePort": NODE_PORT, "protocol": "TCP"},
        {"name": "udp-80", "port": 80, "targetPort": POD_PORT, "nodePort": NODE_PORT, "protocol": "UDP"},
    ]}});
    world.plane.patch_service("web", &ports)?;
    let answers = |proto| world.cluster.outside().dial(proto, node_port).ok()?.result.ok();
    for proto in Proto::BOTH {
        wait::until(LIMIT, &format!("an answer by {proto}"), || answers(proto))?;
    }
    Ok(())
}

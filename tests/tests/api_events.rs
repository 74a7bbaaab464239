//! What the agent tells a real API server, with the rights of deploy/ and no others.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sluice_tests::manifests::Service;
use sluice_tests::{Agent, Cluster, ControlPlane, Family, PodNetwork, Proto, Spec, cluster_ip, wait};

const LIMIT: Duration = Duration::from_secs(20);
const CHECK: u16 = 32_100;
/// Where the agents of these tests answer health.
const HEALTHZ: u16 = 10_256;
const REASON: &str = "FailedToStartServiceHealthcheck";
const WEB: (&str, &str) = ("Service", "web");
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// Events of this reason about an object.
fn events(plane: &ControlPlane, reason: &str, (kind, name): (&str, &str)) -> Result<Vec<Value>> {
    let list = plane.call("GET", EVENTS, "")?;
    let about =
        |event: &&Value| event["reason"] == reason && event["regarding"]["kind"] == kind && event["regarding"]["name"] == name;
    Ok(list["items"].as_array().into_iter().flatten().filter(about).cloned().collect())
}

/// A control plane with the rights of deploy/, and an agent of the first node that has them.
fn start(cluster: &Cluster, flags: &[&str]) -> Result<(ControlPlane, Agent)> {
    let (outside, node) = (cluster.outside(), cluster.node(0));
    let plane = ControlPlane::start(outside.netns(), outside.ip(Family::V4), &cluster.scratch())?;
    plane.deploy()?;
    plane.add_node(node.name(), &Family::BOTH.map(|family| node.ip(family)))?;
    let kubeconfig = plane.agent_kubeconfig().display().to_string();
    let mut agent = Agent::with_source(cluster, 0, &[&["--kubeconfig", &kubeconfig], flags].concat(), &[]);
    agent.limit_capabilities(&plane.agent_capabilities()?);
    Ok((plane, agent))
}

#[test]
fn s50_a_taken_health_check_port_raises_an_event_once() -> Result<()> {
    let cluster = Cluster::build("api-events", Spec::new(PodNetwork::Routed))?;
    let node = cluster.node(0);
    let _taken = node.serve(&[CHECK])?;
    let (plane, mut agent) = start(&cluster, &[])?;
    agent.start()?;

    let ips = [cluster_ip(Family::V4, 10)];
    let mut service = Service::new("web", &ips).port(Proto::Tcp, 80, 8080, 30_007);
    service.extra = format!("  externalTrafficPolicy: Local\n  healthCheckNodePort: {CHECK}\n");
    plane.call(
        "POST",
        "/api/v1/namespaces/default/services",
        &service.yaml().replace("type: NodePort", "type: LoadBalancer"),
    )?;
    let event = wait::until(LIMIT, "an Event about the Service", || events(&plane, REASON, WEB).ok()?.into_iter().next())?;
    let note = event["note"].as_str().unwrap_or_default();
    let at = node.at(Family::V4, CHECK).to_string();
    ensure!(note.contains(&at) && note.contains("the port is taken"), "{note}");
    ensure!(event["type"] == "Warning" && event["action"] == "Listen", "{event}");
    ensure!(event["reportingInstance"] == node.name(), "{event}");
    // Each try that follows fails alike.
    std::thread::sleep(Duration::from_secs(11));
    let said = events(&plane, REASON, WEB)?;
    ensure!(said.len() == 1, "{said:?}");
    ensure!(agent.cli(&["status"])?.contains("health_check_port"), "{}", agent.cli(&["status"])?);
    Ok(())
}

#[test]
fn a_start_is_told_and_what_cannot_be_listened_on() -> Result<()> {
    let cluster = Cluster::build("api-events-node", Spec::new(PodNetwork::Routed))?;
    let node = cluster.node(0);
    let _taken = node.serve(&[HEALTHZ])?;
    let (plane, mut agent) = start(&cluster, &[])?;
    agent.start()?;
    for (reason, kind) in [("Starting", "Normal"), ("FailedToStartProxierHealthcheck", "Warning")] {
        let find = || events(&plane, reason, ("Node", node.name())).ok()?.into_iter().next();
        let event = wait::until(LIMIT, &format!("an Event {reason} about the node"), find)?;
        ensure!(event["type"] == kind && event["regarding"]["uid"] == node.name(), "{event}");
        let note = event["note"].as_str().unwrap_or_default();
        ensure!(kind == "Normal" || note.contains("--healthz-bind-address"), "{event}");
    }
    Ok(())
}

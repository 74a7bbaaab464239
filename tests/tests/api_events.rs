//! What the agent tells a real API server, with the rights of deploy/ and no others.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use sluice_tests::manifests::Service;
use sluice_tests::{Agent, Cluster, ControlPlane, Family, PodNetwork, Proto, Spec, cluster_ip, wait};

const LIMIT: Duration = Duration::from_secs(20);
const CHECK: u16 = 32_100;
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

/// Events of the reason that kube-proxy gives, about the Service `web`.
fn events(plane: &ControlPlane) -> Result<Vec<Value>> {
    let list = plane.call("GET", EVENTS, "")?;
    let about = |event: &&Value| {
        event["reason"] == "FailedToStartServiceHealthcheck"
            && event["regarding"]["kind"] == "Service"
            && event["regarding"]["name"] == "web"
    };
    Ok(list["items"].as_array().into_iter().flatten().filter(about).cloned().collect())
}

#[test]
fn s50_a_taken_health_check_port_raises_an_event_once() -> Result<()> {
    let cluster = Cluster::build("api-events", Spec::new(PodNetwork::Routed))?;
    let (outside, node) = (cluster.outside(), cluster.node(0));
    let plane = ControlPlane::start(outside.netns(), outside.ip(Family::V4), &cluster.scratch())?;
    plane.deploy()?;
    plane.add_node(node.name(), &Family::BOTH.map(|family| node.ip(family)))?;
    let _taken = node.serve(&[CHECK])?;
    let kubeconfig = plane.agent_kubeconfig().display().to_string();
    let mut agent = Agent::with_source(&cluster, 0, &["--kubeconfig", &kubeconfig], &[]);
    agent.limit_capabilities(&plane.agent_capabilities()?);
    agent.start()?;

    let ips = [cluster_ip(Family::V4, 10)];
    let mut service = Service::new("web", &ips).port(Proto::Tcp, 80, 8080, 30_007);
    service.extra = format!("  externalTrafficPolicy: Local\n  healthCheckNodePort: {CHECK}\n");
    plane.call(
        "POST",
        "/api/v1/namespaces/default/services",
        &service.yaml().replace("type: NodePort", "type: LoadBalancer"),
    )?;
    let event = wait::until(LIMIT, "an Event about the Service", || events(&plane).ok()?.into_iter().next())?;
    let note = event["note"].as_str().unwrap_or_default();
    let at = node.at(Family::V4, CHECK).to_string();
    ensure!(note.contains(&at) && note.contains("the port is taken"), "{note}");
    ensure!(event["type"] == "Warning" && event["action"] == "Listen", "{event}");
    ensure!(event["reportingInstance"] == node.name(), "{event}");
    // Each try that follows fails alike.
    std::thread::sleep(Duration::from_secs(11));
    ensure!(events(&plane)?.len() == 1, "{:?}", events(&plane)?);
    ensure!(agent.cli(&["status"])?.contains("health_check_port"), "{}", agent.cli(&["status"])?);
    Ok(())
}

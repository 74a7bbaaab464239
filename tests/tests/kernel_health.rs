//! Health checks of load balancers against both nodes, over real HTTP (S49, S50).

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use sluice_tests::http::{self, Page};
use sluice_tests::manifests::{Service, Slice};
use sluice_tests::scenario::{POD_PORT, PORT, Target};
use sluice_tests::traffic::Probe;
use sluice_tests::{Family, PodNetwork, Proto, Scenario, Spec, cluster_ip, expect, wait};

const CHECK: u16 = 32_100;
const SOON: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

fn service() -> Service {
    let ips = Family::BOTH.map(|family| cluster_ip(family, 40));
    let mut service = Service::new("balanced", &ips).port(Proto::Tcp, PORT, POD_PORT, 30_040);
    service.extra = format!("  externalTrafficPolicy: Local\n  healthCheckNodePort: {CHECK}\n");
    service
}

fn put_service(scenario: &Scenario, service: &Service) -> Result<()> {
    scenario.manifests.put("balanced.yaml", &service.yaml().replace("type: NodePort", "type: LoadBalancer"))
}

/// Its only endpoint is the pod on node 0.
fn slice(scenario: &Scenario, family: Family) -> Slice {
    service().slice(family).endpoint(scenario.near.ip(family), "node1")
}

/// What a load balancer outside gets from a node.
fn ask(scenario: &Scenario, at: SocketAddr) -> Result<Page> {
    http::get(scenario.cluster.outside().netns(), at, "/")
}

/// Waits until a node answers with this status and this number of endpoints.
fn wait_for(scenario: &Scenario, node: usize, family: Family, status: u16, endpoints: usize) -> Result<()> {
    let at = scenario.cluster.node(node).at(family, CHECK);
    let body = format!(
        r#"{{"service":{{"namespace":"default","name":"balanced"}},"localEndpoints":{endpoints},"serviceProxyHealthy":true}}"#
    );
    let weight = format!("x-load-balancing-endpoint-weight: {endpoints}");
    wait::until(SOON, &format!("{status} and {endpoints} endpoints from {at}"), || {
        let page = ask(scenario, at).ok()?;
        let head = page.head.to_lowercase();
        let typed = head.contains("content-type: application/json") && head.contains("x-content-type-options: nosniff");
        (page.status == status && page.body == body && head.contains(&weight) && typed).then_some(())
    })
}

/// Waits until the port refuses connections.
fn wait_closed(scenario: &Scenario, at: SocketAddr) -> Result<()> {
    let refused = || {
        let outcome = scenario.cluster.outside().dial(Proto::Tcp, at).ok()?;
        outcome.result.err().filter(|failure| failure.reason == "ECONNREFUSED")
    };
    wait::until(SOON, &format!("{at} to be closed"), refused).map(drop)
}

#[test]
fn s49_s50_nodes_answer_for_their_own_ready_endpoints() -> Result<()> {
    let scenario = Scenario::start("health", Spec::new(PodNetwork::Routed), &[])?;
    for family in Family::BOTH {
        scenario.manifests.put_slice(&slice(&scenario, family))?;
    }
    put_service(&scenario, &service())?;
    for family in Family::BOTH {
        wait_for(&scenario, 0, family, 200, 1)?;
        wait_for(&scenario, 1, family, 503, 0)?;
    }
    let mut unready = service().slice(Family::V4);
    unready = unready.with(sluice_tests::manifests::Endpoint {
        ip: scenario.near.ip(Family::V4),
        node: "node1".into(),
        ready: Some(false),
    });
    scenario.manifests.put_slice(&unready)?;
    wait_for(&scenario, 0, Family::V4, 503, 0)?;
    wait_for(&scenario, 0, Family::V6, 200, 1)
}

#[test]
fn s49_s50_open_at_node_port_addresses_alone_and_closed_with_the_policy() -> Result<()> {
    let scenario = Scenario::start("health-addresses", Spec::new(PodNetwork::Routed), &[])?;
    scenario.manifests.put_slice(&slice(&scenario, Family::V4))?;
    put_service(&scenario, &service())?;
    wait_for(&scenario, 0, Family::V4, 200, 1)?;
    let node = scenario.cluster.node(0);
    let loopback = SocketAddr::from(([127, 0, 0, 1], CHECK));
    ensure!(http::get(node.netns(), loopback, "/").is_err(), "primary addresses alone were asked for");
    let mut cluster = service();
    cluster.extra = "  externalTrafficPolicy: Cluster\n".into();
    put_service(&scenario, &cluster)?;
    wait_closed(&scenario, node.at(Family::V4, CHECK))?;
    put_service(&scenario, &service())?;
    wait_for(&scenario, 0, Family::V4, 200, 1)?;
    scenario.manifests.remove("balanced.yaml")?;
    wait_closed(&scenario, node.at(Family::V4, CHECK))
}

/// An agent whose loop hangs says so while the kernel goes on serving (S52): after two syncPeriods, here of a second.
#[test]
fn s52_an_agent_that_hangs_tells_and_the_kernel_goes_on() -> Result<()> {
    let file = std::env::temp_dir().join(format!("sluice-health-{}.yaml", std::process::id()));
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    std::fs::write(&file, format!("{head}iptables: {{syncPeriod: 1s}}\n"))?;
    let result = a_hang_is_told(&file);
    std::fs::remove_file(&file)?;
    result
}

fn a_hang_is_told(config: &Path) -> Result<()> {
    let flags = ["--config", &config.display().to_string()];
    let mut scenario = Scenario::start("health-hang", Spec::new(PodNetwork::Routed), &flags)?;
    scenario.agents[0].kill()?;
    scenario.agents[0].set_env("SLUICE_FAULT", "hang:first-list");
    scenario.agents[0].launch()?;
    let agent = &scenario.agents[0];
    let answers = |status| move || agent.livez().ok().filter(|page| page.status == status);
    wait::until(PATIENCE, "a hanging agent to tell", answers(503))?;
    ensure!(agent.healthz()?.status == 503 && agent.metrics()?.sum("sluice_lag_seconds", &[]) >= 2.0, "it hangs");
    let to = scenario.node_port(0, Target::Near, Family::V4);
    expect::answered(&to, &scenario.cluster.outside().probe(Probe::times(Proto::Tcp, to, 5))?, to, &["near"]).map(drop)
}

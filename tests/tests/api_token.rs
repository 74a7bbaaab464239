//! The credentials of the agent's ServiceAccount: in a pod, as kubelets mount them, and in a file whose token expires while it runs.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, POD_PORT, World};
use sluice_tests::controlplane::{Etcd, LEEWAY};
use sluice_tests::manifests::Service;
use sluice_tests::traffic::{Held, HeldReport, Target};
use sluice_tests::{Family, Proto, Traffic, cluster_ip, wait};

const VALID: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(3600);
const OTHER_PORT: u16 = 30008;

#[test]
fn a_token_that_expires() -> Result<()> {
    let mut world = World::without_agents("api-token", Etcd::Current)?;
    let ends = SystemTime::now() + VALID;
    let token = world.plane.agent_token(ends)?;
    world.plane.renew_agent_token(&token)?;
    world.launch(&world.plane.token_file_kubeconfig()?, &[]).context("a token of 20 s")?;
    world.serve_web()?;
    let loads = vec![
        world.client.load(world::load(service(10)))?,
        world.cluster.outside().load(world::load(world.cluster.node(0).at(Family::V4, NODE_PORT)))?,
    ];
    let held = hold(&world)?;
    says(&world, false)?;

    thread::sleep((ends + LEEWAY).duration_since(SystemTime::now()).unwrap_or_default());
    let refused = || (!world.plane.honours(&token).ok()?).then_some(());
    wait::until(LIMIT, "the token to be expired", refused)?;
    world.plane.stop_api_server()?;
    world.plane.start_api_server()?;
    expect_401(&world)?;
    let ips = world.pod_ips();
    let [_, far] = World::pods(&ips);
    world.plane.set_ready(&far, false)?;
    let other = Service::new("other", &Family::BOTH.map(|family| cluster_ip(family, 20)));
    world.plane.add_service(&other.port(Proto::Tcp, 80, POD_PORT, OTHER_PORT))?;
    world.plane.patch_service("other", &json!({"spec": {"selector": {"app": "web"}}}))?;
    says(&world, true)?;
    world.wait_for_answers(&["far", "near"]).context("what was in force stays")?;

    world.plane.renew_agent_token(&world.plane.agent_token(SystemTime::now() + HOUR)?)?;
    let renewed = Instant::now();
    world.wait_for_answers(&["near"]).context("a pod that turned unready meanwhile")?;
    world::wait_for(&world.client, service(20), &["near"]).context("a Service that came meanwhile")?;
    says(&world, false)?;
    println!("REPORT: all is well {:.1} s after the token was renewed", renewed.elapsed().as_secs_f64());
    let held: HeldReport = held.finish()?;
    ensure!(held.broken.is_empty() && held.moved == 0 && held.exchanges > 0, "held connections: {held:?}");
    world::lost_nothing(loads)
}

#[test]
fn an_agent_in_a_pod_has_the_credentials_of_its_service_account() -> Result<()> {
    let mut world = World::without_agents("api-pod", Etcd::Current)?;
    world.launch_in_cluster()?;
    world.serve_web()?;
    says(&world, false)
}

fn service(number: u16) -> SocketAddr {
    SocketAddr::new(cluster_ip(Family::V4, number), 80)
}

/// Connections of a pod that were open before anything happened.
fn hold(world: &World) -> Result<Traffic> {
    let targets = Family::BOTH.map(|family| Target::new(Proto::Tcp, SocketAddr::new(cluster_ip(family, 10), 80)));
    world.client.hold(Held { targets: targets.into(), count: 10, bind: None, interval_ms: 100, timeout_ms: 5000 })
}

/// A request with what the token file holds.
fn expect_401(world: &World) -> Result<()> {
    let kubeconfig = world.plane.token_file_kubeconfig()?;
    let output = world.plane.kubectl_output(&kubeconfig, &["get", "--raw", "/api/v1/services"])?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && complaint.contains("Unauthorized"), "an expired token: {output:?}");
    Ok(())
}

/// Waits until status and metrics of all agents say whether their credentials are refused, and what to do then.
fn says(world: &World, refused: bool) -> Result<()> {
    for agent in &world.agents {
        let known = || {
            let text = agent.cli(&["status"]).ok()?;
            let told = text.contains("refuses our credentials") && text.contains("renew the token");
            let gauge = agent.metrics().ok()?.sum("sluice_degraded", &["condition=\"api\""]);
            (told == refused && gauge == f64::from(u8::from(refused))).then_some(())
        };
        wait::until(LIMIT, &format!("status and metrics to say that the token is refused: {refused}"), known)
            .with_context(|| agent.log_tail(10))?;
    }
    Ok(())
}

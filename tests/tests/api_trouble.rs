//! An API server that takes rights away, and one that has forgotten what the agent saw last.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sluice_tests::controlplane::Etcd;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, POD_PORT, World};
use sluice_tests::manifests::Service;
use sluice_tests::{Agent, Family, Proto, Traffic, cluster_ip, wait};

const OTHER_PORT: u16 = 30008;

fn other(number: u16) -> SocketAddr {
    SocketAddr::new(cluster_ip(Family::V4, number), 80)
}

/// A world whose Service has both pods, with agents that log much, and connections to it that must not notice anything.
fn served(test: &str) -> Result<(World, Vec<Traffic>)> {
    let mut world = World::without_agents(test, Etcd::Current)?;
    world.launch(&world.plane.agent_kubeconfig(), &["-v"])?;
    world.serve_web()?;
    let loads = vec![
        world.client.load(world::load(other(10)))?,
        world.cluster.outside().load(world::load(world.cluster.node(0).at(Family::V4, NODE_PORT)))?,
    ];
    Ok((world, loads))
}

fn status(agent: &Agent) -> Option<Value> {
    serde_json::from_str(&agent.cli(&["status", "-o", "json"]).ok()?).ok()
}

/// Waits until all agents say whether they are connected.
fn wait_connected(world: &World, wanted: bool) -> Result<()> {
    for agent in &world.agents {
        let known = || {
            let source = status(agent)?["report"]["source"].clone();
            let gauge = agent.metrics().ok()?.sum("sluice_api_connected", &[]);
            let said = source["connected"] == Value::Bool(wanted) && gauge == f64::from(u8::from(wanted));
            (said && source["since"].is_string()).then_some(())
        };
        wait::until(LIMIT, &format!("status and metrics to say connected: {wanted}, and since when"), known)
            .with_context(|| agent.log_tail(10))?;
    }
    Ok(())
}

#[test]
fn rights_that_are_taken_away_and_given_back() -> Result<()> {
    let (mut world, loads) = served("api-rights")?;
    world.plane.kubectl(&["delete", "clusterrolebinding", "sluice"])?;
    // A watch that is open is not asked for its rights again.
    world.plane.stop_api_server()?;
    world.plane.start_api_server()?;
    wait_connected(&world, false)?;
    for agent in &world.agents {
        let text = agent.cli(&["status"])?;
        ensure!(text.contains("no rights to list and watch"), "{text}");
    }
    let ips = world.pod_ips();
    let [_, far] = World::pods(&ips);
    world.plane.set_ready(&far, false)?;
    world.wait_for_answers(&["far", "near"]).context("what was in force stays")?;
    world.plane.deploy()?;
    wait_connected(&world, true)?;
    world.wait_for_answers(&["near"]).context("what happened meanwhile takes effect")?;
    world::lost_nothing(loads)
}

#[test]
fn an_etcd_that_was_compacted_meanwhile() -> Result<()> {
    let (mut world, loads) = served("api-compacted")?;
    let service = |number: u16, node_port: u16| {
        let service = Service::new(&format!("other-{number}"), &Family::BOTH.map(|family| cluster_ip(family, number)));
        service.port(Proto::Tcp, 80, POD_PORT, node_port)
    };
    let pods_of_web = json!({"spec": {"selector": {"app": "web"}}});
    world.plane.add_service(&service(20, OTHER_PORT))?;
    world.plane.patch_service("other-20", &pods_of_web)?;
    world::wait_for(&world.client, other(20), &["far", "near"]).context("a Service that will be deleted")?;
    signal(&world, Signal::SIGSTOP)?;
    world.plane.remove_service("other-20")?;
    world.plane.add_service(&service(21, OTHER_PORT))?;
    world.plane.patch_service("other-21", &pods_of_web)?;
    world.plane.compact()?;
    world.plane.stop_api_server()?;
    world.plane.start_api_server()?;
    signal(&world, Signal::SIGCONT)?;
    world::wait_for(&world.client, other(21), &["far", "near"]).context("a Service that came meanwhile")?;
    for agent in &world.agents {
        let gone = || agent.cli(&["services", "-o", "json"]).ok().filter(|text| !text.contains("other-20"));
        wait::until(LIMIT, "the Service that went meanwhile to be gone", gone)?;
    }
    wait_connected(&world, true)?;
    world.wait_for_answers(&["far", "near"])?;
    world.agents.iter().try_for_each(listed_afresh)?;
    world::lost_nothing(loads)
}

/// The server had forgotten what the agent saw last, and the agent has found nothing wrong with that.
fn listed_afresh(agent: &Agent) -> Result<()> {
    let log = agent.log();
    let of_it: Vec<&str> = log.lines().filter(|line| line.contains("too old")).collect();
    let silent = |line: &&str| line.contains("DEBUG") && line.contains("listing afresh");
    ensure!(!of_it.is_empty() && of_it.iter().all(silent), "{of_it:#?} in\n{}", agent.log_tail(30));
    Ok(())
}

fn signal(world: &World, signal: Signal) -> Result<()> {
    for agent in &world.agents {
        let pid = agent.pid().context("the agent does not run")?;
        kill(Pid::from_raw(pid.try_into()?), signal)?;
    }
    Ok(())
}

//! The agent is killed, at random times and at every step of its start, and no connection notices.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluice_tests::expect::families_and_protocols;
use sluice_tests::scenario::Target;
use sluice_tests::traffic::{self, Held, HeldReport, Load, LoadReport};
use sluice_tests::wait::monotonic_ns;
use sluice_tests::{Agent, PodNetwork, Scenario, Spec, Traffic};

/// Kills at random times, on top of one at each fault point.
const RANDOM_KILLS: u32 = 20;
/// Held connections of each client to each of four targets: 64 in all.
const HELD: u32 = 8;
/// New connections a second of each client to each of four targets: 200 of each client.
const RATE: u32 = 50;
/// The steps of a start that are no link.
const STEPS: [&str; 6] = ["maps", "programs", "config", "links", "first-list", "first-flip"];
/// For an agent to reach the step at which it kills itself, on cores shared with others; it is a second on idle ones.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names the step at which the agent is to kill itself.
const FAULT: &str = "SLUICE_FAULT";

#[test]
fn no_connection_notices_that_the_agent_was_killed() -> Result<()> {
    let mut scenario = Scenario::start("restart", Spec::new(PodNetwork::Bridged), &[])?;
    let steps = steps(&scenario)?;
    let (loads, held) = (loads(&scenario)?, held(&scenario)?);
    thread::sleep(Duration::from_millis(500));
    for _ in 0..RANDOM_KILLS {
        let agent = &mut scenario.agents[0];
        ensure!(agent.is_running(), "the agent has ended by itself: {}", agent.log_tail(5));
        agent.kill()?;
        agent.launch()?;
        thread::sleep(Duration::from_millis(monotonic_ns() / 1000 % 400));
    }
    // An agent that starts over what the last one left half done.
    scenario.agents[0].wait_healthy()?;
    for step in &steps {
        die_at(&mut scenario.agents[0], step).with_context(|| format!("at the step {step}"))?;
    }
    scenario.agents[0].start()?;
    scenario.agents[1].kill()?;
    scenario.agents[1].start()?;
    thread::sleep(Duration::from_millis(500));
    let mut requests = 0;
    for (who, load) in loads {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0, "{} of {} from {who} failed:\n{}", report.failed(), report.requests(), report.failures());
        requests += report.requests();
    }
    for (who, held) in held {
        let report: HeldReport = held.finish()?;
        ensure!(report.opened == u64::from(HELD) * 4 && report.broken.is_empty(), "held from {who}: {report:?}");
        ensure!(report.unanswered == 0 && report.moved == 0, "held from {who}: {report:?}");
    }
    println!("REPORT: {} kills, {requests} new connections, 64 held, 0 failed", RANDOM_KILLS as usize + steps.len() + 1);
    Ok(())
}

fn die_at(agent: &mut Agent, step: &str) -> Result<()> {
    agent.kill()?;
    agent.set_env(FAULT, step);
    agent.launch()?;
    let status = agent.wait_end(PATIENCE)?.context("the agent lives on")?;
    ensure!(status.signal() == Some(Signal::SIGKILL as i32), "the agent ended with {status}: {}", agent.log_tail(5));
    agent.set_env(FAULT, "");
    agent.start()
}

/// The steps of every start, and each link that is swapped, by the name of its pin.
fn steps(scenario: &Scenario) -> Result<Vec<String>> {
    let mut steps: Vec<String> = STEPS.map(str::to_owned).to_vec();
    let links = scenario.cluster.pins(0).join("links");
    for entry in fs::read_dir(&links).with_context(|| format!("read {}", links.display()))? {
        steps.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(steps.len() >= STEPS.len() + 8, "links: {steps:?}");
    Ok(steps)
}

fn loads(scenario: &Scenario) -> Result<Vec<(&'static str, Traffic)>> {
    let outside = Load::new(node_ports(scenario), RATE);
    let inside = Load::new(cluster_ips(), RATE);
    Ok(vec![
        ("outside", scenario.cluster.outside().load(outside)?),
        ("pod", scenario.client.load(inside.clone())?),
        ("node", scenario.cluster.node(0).load(inside)?),
    ])
}

fn held(scenario: &Scenario) -> Result<Vec<(&'static str, Traffic)>> {
    let held = |targets| Held { targets, count: HELD, bind: None, interval_ms: 100, timeout_ms: 3000 };
    Ok(vec![
        ("outside", scenario.cluster.outside().hold(held(node_ports(scenario)))?),
        ("pod", scenario.client.hold(held(cluster_ips()))?),
    ])
}

fn node_ports(scenario: &Scenario) -> Vec<traffic::Target> {
    families_and_protocols()
        .map(|(family, proto)| traffic::Target::new(proto, scenario.node_port(0, Target::Both, family)))
        .collect()
}

fn cluster_ips() -> Vec<traffic::Target> {
    families_and_protocols().map(|(family, proto)| traffic::Target::new(proto, Target::Both.cluster_ip(family))).collect()
}

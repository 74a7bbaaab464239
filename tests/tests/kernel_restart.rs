//! The agent is killed, at random times and at every step of its start, and no connection notices: neither those that are held, over
//! TCP and over UDP, from outside, from a pod and from a node, nor the new ones that each of these clients makes meanwhile.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6};
use sluice_tests::expect::families_and_protocols;
use sluice_tests::hooks::Hooks;
use sluice_tests::scenario::{POD_PORT, Target};
use sluice_tests::traffic::{self, Held, HeldReport, Load, LoadReport};
use sluice_tests::wait::monotonic_ns;
use sluice_tests::{Agent, Family, Host, PodNetwork, Scenario, Spec, Traffic};

/// Kills at random times, on top of one at each fault point.
const RANDOM_KILLS: u32 = 20;
/// Held connections of each of three clients: 120 in all, half of them TCP.
const HELD: u32 = 40;
/// New connections a second that each client must have made in each family, from its first to its last second, over TCP and UDP and all
/// its targets.
const RATE: u32 = 200;
/// What each client is told to make in each family. A worker whose request takes longer than two of its turns, a third of a second, makes up for
/// one of them alone; on two cores that also load programs into the kernel, time and again, a worker may lose every tenth turn so.
const OFFERED: u32 = RATE * 11 / 10;
/// The steps of a start that are no link.
const STEPS: [&str; 6] = ["maps", "programs", "config", "links", "first-list", FIRST_FLIP];
/// Where the agent has written what changed while there was none.
const FIRST_FLIP: &str = "first-flip";
/// The pod that comes to a Service at that step.
const NEWCOMER: &str = "third";

#[test]
fn no_connection_notices_that_the_agent_was_killed() -> Result<()> {
    let scenario = Scenario::start("restart", Spec::new(PodNetwork::Bridged), &[])?;
    let outside = node_ports(&scenario);
    nobody_notices(scenario, outside)
}

#[test]
fn no_connection_at_xdp_or_of_a_detector_notices_that_the_agent_was_killed() -> Result<()> {
    let detector = format!("{POD_CIDR_V4},{POD_CIDR_V6}");
    let flags = ["--xdp", "require", "--cluster-cidr", &detector];
    let scenario = Scenario::start_on_physical_wire("restart-xdp", Spec::new(PodNetwork::Bridged), &flags)?;
    ensure!(steps(&scenario)?.iter().any(|step| step.starts_with("uplink_xdp-")), "XDP's link is no step");
    // A ClusterIP dialled from outside is the detector's: masqueraded towards both pods.
    let outside = [node_ports(&scenario), cluster_ips()].concat();
    nobody_notices(scenario, outside)
}

/// Kills the agents while clients dial and talk; `outside` is what the client outside dials.
fn nobody_notices(mut scenario: Scenario, outside: Vec<traffic::Target>) -> Result<()> {
    let newcomer = scenario.cluster.add_pod(1, NEWCOMER)?;
    let _server = newcomer.serve(&[POD_PORT])?;
    let (steps, before) = (steps(&scenario)?, Hooks::of(&scenario.agents[0])?);
    let (loads, held) = (loads(&scenario, &outside)?, held(&scenario, &outside)?);
    thread::sleep(Duration::from_millis(500));
    kill_over_and_over(&mut scenario, &steps, &newcomer)?;
    thread::sleep(Duration::from_millis(500));
    let requests = finish_loads(loads)?;
    let clients = held.len() as u32;
    for (who, held) in held {
        let report: HeldReport = held.finish()?;
        ensure!(report.opened == u64::from(HELD) && report.broken.is_empty(), "held from {who}: {report:?}");
        ensure!(report.unanswered == 0 && report.moved == 0, "held from {who}: {report:?}");
    }
    let moved = before.moved(&scenario.agents[0])?;
    ensure!(moved.sockets > 0 && moved.tc_egress > 0, "{}", moved.all);
    let at_xdp = steps.iter().any(|step| step.starts_with("uplink_xdp-"));
    ensure!(if at_xdp { moved.xdp > 0 } else { moved.tc_ingress > 0 && moved.xdp == 0 }, "{}", moved.all);
    let kills = RANDOM_KILLS as usize + 2 * steps.len() + 1;
    println!("REPORT: {kills} kills, {requests} new connections, {} held, 0 failed", clients * HELD);
    Ok(())
}

/// At random times, at every step, and the other node's agent once. At the first flip, the agent has a change to write.
fn kill_over_and_over(scenario: &mut Scenario, steps: &[String], newcomer: &Arc<Host>) -> Result<()> {
    for _ in 0..RANDOM_KILLS {
        let agent = &mut scenario.agents[0];
        ensure!(agent.is_running(), "the agent has ended by itself: {}", agent.log_tail(5));
        agent.kill()?;
        agent.launch()?;
        thread::sleep(Duration::from_millis(monotonic_ns() / 1000 % 400));
    }
    // An agent that starts over what the last one left half done.
    scenario.agents[0].wait_healthy()?;
    for step in steps {
        scenario.agents[0].kill()?;
        if step == FIRST_FLIP {
            let pods = [(&scenario.near, "node1"), (&scenario.far, "node2"), (newcomer, "node2")];
            scenario.set_endpoints(Target::Both, &pods)?;
        }
        scenario.agents[0].die_at(step).with_context(|| format!("at the step {step}"))?;
        if step == FIRST_FLIP {
            has_flipped(&scenario.agents[0], newcomer)?;
        }
        scenario.agents[0].start()?;
    }
    scenario.agents[1].kill()?;
    scenario.agents[1].start()
}

/// Ends the loads: nothing failed, and each was as fast throughout as it had to be. How many connections that were.
fn finish_loads(loads: Vec<(&'static str, Instant, Traffic)>) -> Result<u64> {
    let mut requests = 0;
    for (who, begin, load) in loads {
        let seconds = begin.elapsed().as_secs_f64();
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0, "{} of {} from {who} failed:\n{}", report.failed(), report.requests(), report.failures());
        for family in Family::BOTH {
            let targets = report.targets.iter().filter(|target| target.label.starts_with(&family.to_string()));
            let rate = targets.map(|target| target.requests).sum::<u64>() as f64 / seconds;
            println!("REPORT: {who} made {rate:.0} new {family} connections a second for {seconds:.0} s");
            ensure!(rate >= f64::from(RATE), "{who} made {rate:.1} new {family} connections a second, {RATE} are wanted");
        }
        ensure!(report.last_start(NEWCOMER).is_some(), "what was written at the first flip serves nobody: {who} never met it");
        requests += report.requests();
    }
    Ok(requests)
}

/// The tables have what the agent wrote just before it died.
fn has_flipped(agent: &Agent, newcomer: &Host) -> Result<()> {
    let text = agent.cli(&["backends", "--service", "default/both"])?;
    for family in Family::BOTH {
        ensure!(text.contains(&newcomer.at(family, POD_PORT).to_string()), "the first flip wrote nothing:\n{text}");
    }
    Ok(())
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

fn loads(scenario: &Scenario, outside: &[traffic::Target]) -> Result<Vec<(&'static str, Instant, Traffic)>> {
    let clients = [
        ("outside", scenario.cluster.outside(), outside.to_vec()),
        ("pod", &*scenario.client, cluster_ips()),
        ("node", scenario.cluster.node(0), cluster_ips()),
    ];
    let load = |(who, client, targets): (_, &Host, Vec<_>)| {
        let rate = (2 * OFFERED).div_ceil(targets.len() as u32);
        Ok((who, Instant::now(), client.load(Load::new(targets, rate))?))
    };
    clients.into_iter().map(load).collect()
}

fn held(scenario: &Scenario, outside: &[traffic::Target]) -> Result<Vec<(&'static str, Traffic)>> {
    let held =
        |targets: Vec<_>| Held { count: HELD / targets.len() as u32, targets, bind: None, interval_ms: 200, timeout_ms: 3000 };
    Ok(vec![
        ("outside", scenario.cluster.outside().hold(held(outside.to_vec()))?),
        ("pod", scenario.client.hold(held(cluster_ips()))?),
        ("node", scenario.cluster.node(0).hold(held(cluster_ips()))?),
    ])
}

fn node_ports(scenario: &Scenario) -> Vec<traffic::Target> {
    targets(|family| scenario.node_port(0, Target::Both, family))
}

fn cluster_ips() -> Vec<traffic::Target> {
    targets(|family| Target::Both.cluster_ip(family))
}

/// An address in every family and protocol; reports tell the family first.
fn targets(to: impl Fn(Family) -> SocketAddr) -> Vec<traffic::Target> {
    let named = |(family, proto)| traffic::Target::named(format!("{family} {proto} {}", to(family)), proto, to(family));
    families_and_protocols().map(named).collect()
}

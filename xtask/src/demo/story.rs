//! The state of the story while it is told: the cluster, its agents, its apps, the clients and the screen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use sluice_tests::traffic::LoadReport;
use sluice_tests::{Agent, Cluster, Family, Host, wait};

use super::apps::{Apps, HELLO};
use super::crash::Crash;
use super::loads::{Loads, answers};
use super::screen::Screen;

/// How often the block is redrawn.
const FRAME: Duration = Duration::from_millis(200);
/// Frames that a rate is taken over: one second.
const WINDOW: usize = 5;
/// A change that takes longer is lost.
const IN_FORCE: Duration = Duration::from_secs(5);
/// Lines of each agent's log that are shown when the story breaks off.
const LOG_LINES: usize = 20;
/// Characters of a full bar.
const BAR: u64 = 40;

/// Everything that the chapters act on.
pub struct Story<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Pods and manifests.
    pub apps: Apps<'a>,
    /// One agent a node.
    pub agents: Vec<Agent>,
    /// A pod on each node that only asks.
    pub clients: Vec<Arc<Host>>,
    /// The clients, once they run.
    pub loads: Option<Loads>,
    /// How a pod of hello-k8s was killed, once one was.
    pub crash: Option<Crash>,
    /// What each target's client achieved during the rolling update.
    pub rates: BTreeMap<String, f64>,
    /// What the user sees.
    pub screen: Screen,
    wrong: u32,
    frames: VecDeque<(Instant, LoadReport)>,
}

impl<'a> Story<'a> {
    /// A cluster with two nodes and a client pod on each, without an agent.
    pub fn begin(cluster: &'a Cluster) -> Result<Self> {
        let apps = Apps::new(cluster)?;
        let folder = apps.manifests().path().to_owned();
        let agents = (0..cluster.nodes().len()).map(|node| Agent::for_node(cluster, node, &folder, &[])).collect();
        let client = |node| cluster.add_pod(node, &format!("client-{}", node + 1));
        let clients = (0..cluster.nodes().len()).map(client).collect::<Result<_>>()?;
        let (screen, rates, frames) = (Screen::new(), BTreeMap::new(), VecDeque::new());
        Ok(Self { cluster, apps, agents, clients, loads: None, crash: None, rates, screen, wrong: 0, frames })
    }

    /// Says that something holds, or counts and says that it does not.
    pub fn check(&mut self, holds: bool, text: &str) {
        if holds {
            self.screen.good(text);
        } else {
            self.wrong += 1;
            self.screen.bad(text);
        }
    }

    /// Whether everything came out as told.
    pub fn is_sound(&self) -> bool {
        self.wrong == 0
    }

    /// Lets the clients go on for a while, and shows how they stand.
    pub fn pause(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            thread::sleep(FRAME.min(end.saturating_duration_since(Instant::now())));
            self.draw();
        }
    }

    /// Waits until no node's tables have this pod. Returns when that was seen (CLOCK_MONOTONIC, ns).
    pub fn wait_without(&self, pod: &Host) -> Result<u64> {
        for agent in &self.agents {
            wait::until(IN_FORCE, "the slices without the pod", || {
                let text = agent.cli(&["backends", "--service", "default/hello-k8s"]).ok()?;
                let named = |family| text.contains(&pod.at(family, HELLO[2]).to_string());
                (text.contains("hello-k8s") && !Family::BOTH.into_iter().any(named)).then_some(())
            })?;
        }
        Ok(wait::monotonic_ns())
    }

    /// How the clients stand.
    pub fn progress(&mut self) -> LoadReport {
        self.loads.as_mut().map(Loads::progress).unwrap_or_default()
    }

    /// Failed requests, without those that a pod took with it when it was killed.
    pub fn failed(&self, report: &LoadReport) -> u64 {
        report.failed() - self.crash.map_or(0, |crash| crash.lost(report))
    }

    /// Prints how the agents' logs end.
    pub fn print_logs(&mut self) {
        for agent in &self.agents {
            self.screen.line(&agent.log_tail(LOG_LINES));
        }
    }

    /// Lets agents and pods live on when the story is over.
    pub fn leave(self) {
        self.agents.into_iter().for_each(Agent::leave);
        self.apps.leave();
    }

    fn draw(&mut self) {
        if self.loads.is_none() || !self.screen.is_live() {
            return;
        }
        let report = self.progress();
        self.frames.push_back((Instant::now(), report));
        if self.frames.len() > WINDOW + 1 {
            self.frames.pop_front();
        }
        if let (Some((then, old)), Some((at, new))) = (self.frames.front(), self.frames.back())
            && then < at
        {
            let failed = self.failed(new);
            let lines = block(old, new, failed, at.duration_since(*then).as_secs_f64());
            self.screen.block(&lines);
        }
    }
}

fn block(old: &LoadReport, new: &LoadReport, failed: u64, seconds: f64) -> Vec<String> {
    let rate = (new.requests() - old.requests()) as f64 / seconds.max(0.001);
    let mut lines = vec![format!("  {rate:>5.0} requests/s   {} in all   {failed} failed", new.requests())];
    let before = answers(old);
    let recent: BTreeMap<String, u64> =
        answers(new).into_iter().map(|(name, count)| (name.clone(), count - before.get(&name).unwrap_or(&0))).collect();
    let sum = recent.values().sum::<u64>().max(1);
    for (name, count) in recent {
        let bar = "█".repeat((count * BAR / sum) as usize);
        lines.push(format!("  {name:<9} {:>3} % {bar}", count * 100 / sum));
    }
    lines
}

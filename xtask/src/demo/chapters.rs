//! The story, chapter by chapter.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sluice_tests::traffic::{Load, LoadReport, PageReport, Probe, Target};
use sluice_tests::{Agent, Family, Host, Proto, wait};

use super::apps::{HELLO, RESULT, VOTE, hello_address};
use super::loads::Loads;
use super::story::Story;
use super::{table, titles};

/// How long a new Service may take until it answers.
const PROGRAMMED: Duration = Duration::from_secs(5);
/// How long a pod that leaves goes on serving what it has: far longer than an update takes, far shorter than Kubernetes'
/// default of 30 s.
const DRAIN: Duration = Duration::from_millis(500);
/// Connections a second for the comparison of latencies.
const CALM_RATE: u32 = 200;

/// Tells it, and says whether everything came out as told.
pub fn tell(story: &mut Story<'_>) -> Result<bool> {
    agents_start(story)?;
    hello_answers(story)?;
    voting_works(story)?;
    let calm = compare_latencies(story)?;
    let (client, cluster) = (story.client.clone(), story.cluster);
    story.loads = Some(Loads::start(cluster, &client)?);
    story.screen.chapter(titles::LOADS);
    story.pause(Duration::from_secs(1));
    a_pod_turns_unready(story)?;
    a_pod_is_replaced(story)?;
    rolling_update(story)?;
    agents_are_killed(story)?;
    let totals = story.loads.take().context("the clients do not run")?.finish()?;
    story.screen.chapter(titles::TOTALS);
    for line in table::lines(&totals, &calm) {
        story.screen.line(&line);
    }
    story.check(totals.loads.failed() + calm.failed() == 0, "no request was lost");
    story.check(totals.held.broken.is_empty() && totals.held.opened > 0, "no held connection broke");
    for report in [&totals.loads, &calm] {
        report.failures().lines().for_each(|line| story.screen.bad(line));
    }
    Ok(story.is_sound())
}

fn agents_start(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::START);
    let begin = Instant::now();
    story.agents.iter_mut().try_for_each(Agent::launch)?;
    story.agents.iter_mut().try_for_each(Agent::wait_healthy)?;
    story.check(true, &format!("both agents are healthy after {} ms", begin.elapsed().as_millis()));
    Ok(())
}

fn hello_answers(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::HELLO);
    let written = story.apps.deploy_hello()?;
    let cluster = story.cluster;
    for node in cluster.nodes() {
        wait::until(PROGRAMMED, "hello-k8s", || node.dial(Proto::Tcp, hello_address(Family::V4)).ok()?.result.ok())?;
    }
    let programmed = (wait::monotonic_ns() - written) / 1_000_000;
    story.check(true, &format!("reachable on both nodes {programmed} ms after the manifests were written"));
    let client = story.client.clone();
    for (node, family) in cluster.nodes().iter().flat_map(|node| Family::BOTH.map(|family| (node, family))) {
        answers(story, cluster.outside(), node.at(family, HELLO[1]))?;
        answers(story, &client, node.at(family, HELLO[1]))?;
    }
    for family in Family::BOTH {
        answers(story, &client, hello_address(family))?;
        answers(story, cluster.node(0), hello_address(family))?;
    }
    for node in cluster.nodes() {
        answers(story, node, SocketAddr::from((Ipv4Addr::LOCALHOST, HELLO[1])))?;
        answers(story, node, SocketAddr::from((Ipv6Addr::LOCALHOST, HELLO[1])))?;
    }
    Ok(())
}

/// Dials 40 times: by chance alone one of two pods would stay unseen once in 5·10¹¹ times.
fn answers(story: &mut Story<'_>, from: &Host, to: SocketAddr) -> Result<()> {
    let outcomes = from.probe(Probe { until_failure: true, ..Probe::times(Proto::Tcp, to, 40) })?;
    let mut pods: Vec<String> = outcomes.iter().filter_map(|outcome| Some(outcome.result.as_ref().ok()?.by.clone())).collect();
    let answered = pods.len();
    pods.sort();
    pods.dedup();
    let failure = outcomes.iter().find_map(|outcome| outcome.result.as_ref().err());
    let end = failure.map_or(String::new(), |failure| format!(", {failure}"));
    let text = format!("{} → {to}: {answered} of 40 answered by {}{end}", from.name(), pods.join(" and "));
    story.check(answered == 40 && pods.len() == 2, &text);
    Ok(())
}

fn voting_works(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::VOTE);
    story.apps.deploy_vote()?;
    let cluster = story.cluster;
    let outside = cluster.outside();
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let at = |node: usize, port| cluster.node(node).at(Family::V4, port);
    wait::until(PROGRAMMED, "the voting app", || good(outside.get(at(0, RESULT), "/").ok()?))?;
    let votes = [
        (outside, at(0, VOTE), "/vote/cats"),
        (outside, at(1, VOTE), "/vote/dogs"),
        (cluster.node(0), local(VOTE), "/vote/cats"),
        (cluster.node(1), local(VOTE), "/vote/cats"),
    ];
    for (from, to, path) in votes {
        let page = from.get(to, path)?;
        story.check(page.status == 200, &asked(from, to, path, &page));
    }
    let all = wait::until(PROGRAMMED, "the votes", || good(outside.get(at(0, RESULT), "/").ok()?).filter(counted));
    let page = all.or_else(|_| outside.get(at(0, RESULT), "/"))?;
    story.check(counted(&page), &asked(outside, at(0, RESULT), "", &page));
    for (node, to) in [(0, local(RESULT)), (1, local(RESULT))] {
        let page = cluster.node(node).get(to, "/")?;
        story.check(counted(&page), &asked(cluster.node(node), to, "", &page));
    }
    Ok(())
}

fn counted(page: &PageReport) -> bool {
    page.body.starts_with("cats 3, dogs 1 ")
}

fn good(page: PageReport) -> Option<PageReport> {
    (page.status == 200).then_some(page)
}

fn asked(from: &Host, to: SocketAddr, path: &str, page: &PageReport) -> String {
    format!("{} → {to}{path}: {}", from.name(), page.failure.as_deref().unwrap_or(&page.body))
}

fn compare_latencies(story: &mut Story<'_>) -> Result<LoadReport> {
    story.screen.chapter(titles::CALM);
    let pods: Vec<_> = story.apps.hello().iter().map(|member| member.pod.at(Family::V4, HELLO[2])).collect();
    let direct = |label: &str| pods.iter().map(|&to| Target::named(label, Proto::Tcp, to)).collect();
    let service = |label: &str, to| vec![Target::named(label, Proto::Tcp, to)];
    let node_port = story.cluster.node(0).at(Family::V4, HELLO[1]);
    let share = CALM_RATE / pods.len().max(1) as u32;
    let parts = [
        story.client.load(Load::new(service("pod, ClusterIP", hello_address(Family::V4)), CALM_RATE))?,
        story.client.load(Load::new(direct("pod, direct"), share))?,
        story.cluster.outside().load(Load::new(service("outside, NodePort", node_port), CALM_RATE))?,
        story.cluster.outside().load(Load::new(direct("outside, direct"), share))?,
    ];
    story.pause(Duration::from_secs(3));
    let mut calm = LoadReport::default();
    for part in parts {
        calm.targets.extend(part.finish::<LoadReport>()?.targets);
    }
    story.check(calm.failed() == 0, &format!("{} requests, {} failed", calm.requests(), calm.failed()));
    Ok(calm)
}

fn a_pod_turns_unready(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::UNREADY);
    story.apps.set_ready("hello-1", false);
    let written = story.apps.publish()?;
    story.pause(Duration::from_secs(2));
    last_request(story, "hello-1", written);
    story.apps.set_ready("hello-1", true);
    let written = story.apps.publish()?;
    story.pause(Duration::from_secs(1));
    let back = story.progress().last_start("hello-1").is_some_and(|last| last > written);
    story.check(back, "ready again, it gets its share");
    Ok(())
}

fn last_request(story: &mut Story<'_>, name: &str, written: u64) {
    let last = story.progress().last_start(name).unwrap_or(written);
    let late = last.saturating_sub(written) as f64 / 1e6;
    story.check(late <= 100.0, &format!("the last request to {name} began {late:.1} ms after the slice was written"));
}

fn a_pod_is_replaced(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::REPLACED);
    replace(story, "hello-2", 1, "hello-3")
}

fn rolling_update(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::UPDATE);
    replace(story, "hello-1", 0, "hello-v2-1")?;
    replace(story, "hello-3", 1, "hello-v2-2")
}

/// The way a Deployment does it: the new pod is ready first, the old one leaves the slice, drains and dies.
fn replace(story: &mut Story<'_>, old: &str, node: usize, new: &str) -> Result<()> {
    story.apps.add_hello(node, new)?;
    story.apps.retire(old);
    let written = story.apps.publish()?;
    story.pause(DRAIN);
    story.apps.kill(old)?;
    story.pause(Duration::from_secs(1));
    last_request(story, old, written);
    let serves = story.progress().last_start(new).is_some_and(|last| last > written);
    story.check(serves, &format!("{new} serves in its place"));
    Ok(())
}

fn agents_are_killed(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::KILLED);
    let before = story.progress();
    story.agents.iter_mut().try_for_each(Agent::kill)?;
    story.pause(Duration::from_millis(1500));
    let down = story.progress();
    let (served, failed) = (down.requests() - before.requests(), down.failed() - before.failed());
    story.check(served > 0 && failed == 0, &format!("{served} requests without an agent, {failed} failed"));
    let begin = Instant::now();
    story.agents.iter_mut().try_for_each(Agent::launch)?;
    story.agents.iter_mut().try_for_each(Agent::wait_healthy)?;
    let back = begin.elapsed().as_millis();
    story.pause(Duration::from_secs(1));
    let failed = story.progress().failed() - down.failed();
    story.check(failed == 0, &format!("back and healthy after {back} ms, {failed} failed"));
    Ok(())
}

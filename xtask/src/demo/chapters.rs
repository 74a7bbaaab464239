//! The story, chapter by chapter.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sluice_tests::traffic::{Load, LoadReport, PageReport, Probe, Target};
use sluice_tests::{Agent, Cluster, Family, Host, Proto, wait};

use super::apps::{HELLO, RESULT, VOTE, hello_address};
use super::crash::Crash;
use super::loads::{self, LEAST, Loads, RATE};
use super::story::Story;
use super::{table, titles};

/// How long a new Service may take until it answers.
const PROGRAMMED: Duration = Duration::from_secs(5);
/// How long a pod that leaves goes on serving what it has: far longer than an update takes, far shorter than Kubernetes'
/// default of 30 s.
const DRAIN: Duration = Duration::from_millis(500);
/// So many milliseconds after a pod was killed at most both nodes are seen to do without it.
const WITHOUT_IT: f64 = 1000.0;
/// Connections a second for the comparison of latencies.
const CALM_RATE: u32 = 200;
/// Failed requests to each target that are shown word for word.
const SHOWN: usize = 5;

/// Tells it, and says whether everything came out as told.
pub fn tell(story: &mut Story<'_>) -> Result<bool> {
    agents_start(story)?;
    hello_answers(story)?;
    voting_works(story)?;
    let calm = compare_latencies(story)?;
    story.loads = Some(Loads::start(story.cluster, &story.clients[0])?);
    story.screen.chapter(titles::LOADS);
    story.pause(Duration::from_secs(1));
    a_pod_turns_unready(story)?;
    a_pod_is_killed(story)?;
    rolling_update(story)?;
    agents_are_killed(story)?;
    let totals = story.loads.take().context("the clients do not run")?.finish()?;
    story.screen.chapter(titles::TOTALS);
    for line in table::lines(&totals, story.crash, &story.rates, &calm) {
        story.screen.line(&line);
    }
    let failed = story.failed(&totals.loads) + calm.failed();
    story.check(failed == 0, &format!("{failed} requests failed, but for those that were lost with the killed pod"));
    story.check(totals.held.broken.is_empty() && totals.held.opened > 0, "no held connection broke");
    failures(story, &totals.loads);
    failures(story, &calm);
    Ok(story.is_sound())
}

/// Shows what failed, without what a pod took with it when it was killed.
fn failures(story: &mut Story<'_>, report: &LoadReport) {
    for target in &report.targets {
        let other = target.failures.iter().filter(|failure| !story.crash.is_some_and(|crash| crash.took(failure)));
        other.take(SHOWN).for_each(|failure| story.screen.bad(&format!("{}: {failure}", target.label)));
    }
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
    let clients = story.clients.clone();
    for (node, family) in on_all_nodes(cluster) {
        answers(story, cluster.outside(), node.at(family, HELLO[1]))?;
        clients.iter().try_for_each(|client| answers(story, client, node.at(family, HELLO[1])))?;
    }
    for family in Family::BOTH {
        for host in clients.iter().chain(cluster.nodes()) {
            answers(story, host, hello_address(family))?;
        }
    }
    for node in cluster.nodes() {
        Family::BOTH.into_iter().try_for_each(|family| answers(story, node, localhost(family, HELLO[1])))?;
    }
    Ok(())
}

/// Every node in each family.
fn on_all_nodes(cluster: &Cluster) -> impl Iterator<Item = (&Arc<Host>, Family)> {
    cluster.nodes().iter().flat_map(|node| Family::BOTH.map(|family| (node, family)))
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
    let result = cluster.node(0).at(Family::V4, RESULT);
    wait::until(PROGRAMMED, "the voting app", || good(outside.get(result, "/").ok()?))?;
    let votes = [
        (outside, cluster.node(0).at(Family::V4, VOTE), "/vote/cats"),
        (outside, cluster.node(1).at(Family::V6, VOTE), "/vote/dogs"),
        (cluster.node(0), localhost(Family::V4, VOTE), "/vote/cats"),
        (cluster.node(1), localhost(Family::V6, VOTE), "/vote/cats"),
    ];
    for (from, to, path) in votes {
        let page = from.get(to, path)?;
        story.check(page.status == 200, &asked(from, to, path, &page));
    }
    // Whether they were counted is seen below.
    let _ = wait::until(PROGRAMMED, "the votes", || good(outside.get(result, "/").ok()?).filter(counted));
    for (node, family) in on_all_nodes(cluster) {
        for (from, to) in [(outside, node.at(family, RESULT)), (node, localhost(family, RESULT))] {
            let page = from.get(to, "/")?;
            story.check(counted(&page), &asked(from, to, "", &page));
        }
    }
    Ok(())
}

fn localhost(family: Family, port: u16) -> SocketAddr {
    match family {
        Family::V4 => (Ipv4Addr::LOCALHOST, port).into(),
        Family::V6 => (Ipv6Addr::LOCALHOST, port).into(),
    }
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
        story.clients[0].load(Load::new(service("pod, ClusterIP", hello_address(Family::V4)), CALM_RATE))?,
        story.clients[0].load(Load::new(direct("pod, direct"), share))?,
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

/// Its process ends without a word, the slices lose it, and a new pod comes in its place.
fn a_pod_is_killed(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::CRASHED);
    let (old, new) = ("hello-2", "hello-3");
    let killed = wait::monotonic_ns();
    story.apps.crash(old);
    let gone = story.apps.retire(old).context("the pod that was killed")?;
    story.apps.publish()?;
    let in_force = story.wait_without(&gone)?;
    story.crash = Some(Crash { killed, in_force });
    story.apps.add_hello(1, new)?;
    let written = story.apps.publish()?;
    story.pause(Duration::from_millis(1500));
    story.apps.kill(old)?;
    let report = story.progress();
    let (lost, other) = (report.failed() - story.failed(&report), story.failed(&report));
    let after = (in_force - killed) as f64 / 1e6;
    story.check(
        other == 0 && after <= WITHOUT_IT && lost <= most_lost(after, report.targets.len()),
        &format!("both nodes do without it after {after:.0} ms: {lost} requests lost with it, {other} others"),
    );
    serves(story, new, written);
    Ok(())
}

/// Requests to so many targets that a pod of two may take with it in so many milliseconds: about half of those that begin, and
/// those under way.
fn most_lost(milliseconds: f64, targets: usize) -> u64 {
    (0.6 * milliseconds / 1000.0 * f64::from(RATE) * targets as f64) as u64 + 12
}

/// Each client goes on at its rate meanwhile.
fn rolling_update(story: &mut Story<'_>) -> Result<()> {
    story.screen.chapter(titles::UPDATE);
    let before = story.progress();
    replace(story, "hello-1", 0, "hello-v2-1")?;
    replace(story, "hello-3", 1, "hello-v2-2")?;
    story.rates = loads::rates(&before, &story.progress());
    let least = story.rates.values().copied().fold(f64::INFINITY, f64::min);
    let all = !before.targets.is_empty() && story.rates.len() == before.targets.len();
    story.check(all && least >= LEAST, &format!("meanwhile {least:.0} new connections a second to each address at least"));
    Ok(())
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
    serves(story, new, written);
    Ok(())
}

fn serves(story: &mut Story<'_>, name: &str, written: u64) {
    let serves = story.progress().last_start(name).is_some_and(|last| last > written);
    story.check(serves, &format!("{name} serves in its place"));
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

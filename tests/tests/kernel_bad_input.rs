//! Bad input to a real agent: one clear message and an exit code of its own, or a degraded state that is told; nothing that works is lost.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::mem::offset_of;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, Map, MapData};
use proxy_agent::maps::{Capacity, create_pinned};
use proxy_common::abi::{ABI_VERSION, Config};
use serde_json::Value;
use sluice_tests::manifests::{Service, node_yaml};
use sluice_tests::scenario::Target;
use sluice_tests::traffic::{self, Held, HeldReport, Load, LoadReport, Probe};
use sluice_tests::{Agent, Attempt, Family, PodNetwork, Proto, Scenario, Spec, cluster_ip, expect, wait};

/// A change that takes longer is lost.
const SOON: Duration = Duration::from_secs(10);
/// What is told of a change is told well before things are looked at without one.
const PROMPT: Duration = Duration::from_secs(3);
/// What a manifest of megabytes may take, and a table that heals.
const LATER: Duration = Duration::from_secs(60);
/// How long an object flaps, and how often a second at least.
const FLAPPING: Duration = Duration::from_secs(2);
const WRITES_A_SECOND: f64 = 1_000.0;
/// Of a node, beside that of its uplink.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
/// Connections one after the other, where 512 have a place of one entry, and as many flows one of two.
const MANY: u64 = 2_000;
const PLACES: f64 = 512.0;
/// New connections a second meanwhile, in each family, to a Service that does not change.
const STEADY: u32 = 100;

#[test]
fn a_machine_that_cannot_run_it() -> Result<()> {
    let mut scenario = Scenario::start("input-machine", Spec::new(PodNetwork::Routed), &[])?;
    let targets = Family::BOTH.map(|family| traffic::Target::new(Proto::Tcp, Target::Far.cluster_ip(family)));
    let held =
        scenario.client.hold(Held { targets: targets.into(), count: 2, bind: None, interval_ms: 50, timeout_ms: 1000 })?;
    let attempt = Attempt::new(&scenario);
    let hidden = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    let cases: [(&[&str], i32, &str); 3] = [
        (&["setarch", "--uname-2.6"], 10, "or later is needed: upgrade it, or keep kube-proxy"),
        (&["setpriv", "--bounding-set=-all", "--no-new-privs"], 11, "missing CAP_NET_ADMIN, CAP_PERFMON, CAP_BPF: run as root"),
        (&["unshare", "--mount", "sh", "-c", hidden, "sh"], 12, "/sys/kernel/btf/vmlinux is missing: boot a kernel"),
    ];
    for (wrapper, code, word) in cases {
        attempt.clone().wrapped(wrapper).refused(&scenario, code, word)?;
    }
    let no_bpffs = Attempt { pins: scenario.cluster.scratch().join("no-bpffs"), ..attempt.clone() };
    no_bpffs.refused(&scenario, 13, "mount -t bpf")?;
    let elsewhere = Attempt { cgroup: Some("/proc".into()), ..attempt.clone() };
    elsewhere.refused(&scenario, 14, "findmnt -t cgroup2")?;
    let unmounted = "umount --recursive /sys/fs/cgroup && exec \"$@\"";
    let no_cgroup = Attempt { cgroup: None, ..attempt }.wrapped(&["unshare", "--mount", "sh", "-c", unmounted, "sh"]);
    no_cgroup.refused(&scenario, 14, "mount -t cgroup2 none /sys/fs/cgroup/unified")?;

    // Tables that are not what this version makes: another one's, or somebody else's.
    scenario.agents[0].kill()?;
    let maps = scenario.cluster.pins(0).join("maps");
    let (slots, aside) = (maps.join("SLOTS"), maps.join("SLOTS_ASIDE"));
    std::fs::rename(&slots, &aside)?;
    std::fs::hard_link(maps.join("DESCRIPTORS"), &slots)?;
    let adopting = Attempt { pins: scenario.cluster.pins(0), ..Attempt::new(&scenario) };
    adopting.refused(&scenario, 17, "sluice cleanup")?;
    std::fs::remove_file(&slots)?;
    std::fs::rename(&aside, &slots)?;
    set_layout(&maps, ABI_VERSION - 1)?;
    adopting.refused(&scenario, 17, "run `sluice cleanup` with the version that made them")?;
    let shown = scenario.agents[0].cli(&["services"]);
    ensure!(shown.as_ref().is_err_and(|error| format!("{error:#}").contains("have layout")), "{shown:?}");
    set_layout(&maps, ABI_VERSION)?;
    scenario.agents[0].start()?;
    served(&scenario)?;
    let report: HeldReport = held.finish()?;
    ensure!(report.opened == 4 && report.broken.is_empty() && report.unanswered == 0, "what was open stays: {report:?}");
    Ok(())
}

/// Makes tables those of another version.
fn set_layout(maps: &Path, version: u32) -> Result<()> {
    let mut config: Array<_, [u8; size_of::<Config>()]> = Map::Array(MapData::from_pin(maps.join("CONFIG"))?).try_into()?;
    let mut value = config.get(&0, 0)?;
    value[offset_of!(Config, abi)..][..4].copy_from_slice(&version.to_ne_bytes());
    config.set(0, value, 0).context("CONFIG")
}

/// An agent that cannot see the API tells why, and what an earlier one programmed stays in force.
#[test]
fn a_kubeconfig_that_cannot_be_read_and_a_server_that_is_not_there() -> Result<()> {
    let mut scenario = Scenario::start("input-kubeconfig", Spec::new(PodNetwork::Routed), &[])?;
    // The Node object names an address that no route would choose.
    let (node, outside) = (scenario.cluster.node(0), scenario.cluster.outside());
    node.netns().ip(&format!("addr add {OWN_ADDRESS}/32 dev eth0"))?;
    outside.netns().ip(&format!("route add {OWN_ADDRESS}/32 via {}", node.ip(Family::V4)))?;
    scenario.manifests.put("node.yaml", &node_yaml(node.name(), &[OWN_ADDRESS.into()]))?;
    let front = SocketAddr::new(OWN_ADDRESS.into(), Target::Near.node_port());
    let targets = vec![traffic::Target::new(Proto::Udp, front)];
    let dial = || outside.dial(Proto::Udp, front).ok()?.result.ok();
    wait::until(SOON, "a NodePort at the address of the Node object", dial)?;
    let mut held = outside.hold(Held { targets, count: 1, bind: None, interval_ms: 20, timeout_ms: 1000 })?;
    wait::until(SOON, "an exchange", || (held.held().exchanges > 0).then_some(()))?;
    scenario.agents[0].kill()?;
    let file = scenario.cluster.scratch().join("kubeconfig");
    let path = file.display().to_string();
    let mut agent = Agent::with_source(&scenario.cluster, 0, &["--kubeconfig", &path], &[]);
    agent.launch()?;
    let told = |agent: &Agent, word: &str| {
        let metrics = agent.metrics().ok()?;
        let degraded = metrics.sum("sluice_degraded", &["condition=\"api\""]) == 1.0;
        (degraded && agent.cli(&["status"]).ok()?.split_whitespace().collect::<Vec<_>>().join(" ").contains(word)).then_some(())
    };
    wait::until(SOON, "the file to be missed", || told(&agent, "correct the file or name another one with --kubeconfig"))
        .with_context(|| agent.log_tail(5))?;
    served(&scenario)?;
    std::fs::write(&file, "apiVersion: v1\nkind: Config\ncurrent-context: [\n")?;
    wait::until(LATER, "the file to be found wrong", || told(&agent, "failed to parse kubeconfig YAML"))
        .with_context(|| agent.log_tail(5))?;
    let cluster = "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}]\nusers: [{name: u, user: {token: t}}]";
    let context = "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x";
    std::fs::write(&file, format!("apiVersion: v1\nkind: Config\n{cluster}\n{context}\n"))?;
    wait::until(LATER, "the server to be missed", || told(&agent, "check that it runs and that its address is right"))
        .with_context(|| agent.log_tail(5))?;
    ensure!(agent.is_running(), "an agent without an API server has ended: {}", agent.log_tail(5));
    let report: HeldReport = held.finish()?;
    ensure!(report.broken.is_empty() && report.unanswered == 0, "a held flow: {report:?}");
    served(&scenario)
}

/// A Service with this many ports, and the slice of as many endpoints: more service ports, or more backends, than fit.
fn giant(name: &str, number: u16, ports: u16, endpoints: u32) -> (String, String) {
    let service = Service::new(name, &[cluster_ip(Family::V4, number)]);
    let service = (1..=ports).fold(service, |service, port| service.port(Proto::Tcp, port, port, 0));
    let mut slice = service.slice(Family::V4).yaml().replace("endpoints: []\n", "endpoints:\n");
    for endpoint in 0..endpoints {
        let [_, b, c, d] = (endpoint + 1).to_be_bytes();
        let _ = writeln!(slice, "- addresses: [\"{}\"]", Ipv4Addr::new(172, b, c, d));
    }
    (service.yaml(), slice)
}

#[test]
fn a_full_table_is_told_and_heals() -> Result<()> {
    let scenario = Scenario::start("input-full", Spec::new(PodNetwork::Routed), &[])?;
    let agent = &scenario.agents[0];
    let refused = |agent: &Agent| {
        let metrics = agent.metrics().ok()?;
        Some((metrics.sum("sluice_degraded", &["condition=\"table_rejects\""]), metrics.sum("sluice_rejected_objects", &[])))
    };
    ensure!(refused(agent) == Some((0.0, 0.0)), "{:?}", refused(agent));
    // 600,000 backends, of which the table takes 524,287.
    let (service, slice) = giant("giant", 200, 600, 1000);
    scenario.manifests.put("giant-slice.yaml", &slice)?;
    scenario.manifests.put("giant.yaml", &service)?;
    let told = || refused(agent).filter(|(degraded, rejected)| *degraded == 1.0 && *rejected > 0.0);
    wait::until(LATER, "metrics to say that a table refuses", told).with_context(|| agent.log_tail(5))?;
    let status = wait::until(SOON, "the status to say it", || {
        agent.cli(&["status"]).ok().filter(|text| text.contains("table_rejects") && text.contains("BACKENDS"))
    })?;
    ensure!(status.contains("service ports are not served as wanted"), "{status}");
    let rejected = agent.cli(&["services", "--rejected"])?;
    ensure!(rejected.contains("default/giant") && rejected.contains("BACKENDS"), "{}", &rejected[..rejected.len().min(2000)]);
    // Whoever stood stands, and what still fits comes in.
    served(&scenario)?;
    let client = &scenario.client;
    scenario.set_endpoints(Target::Nobody, &[])?;
    let newcomer = Service::new("newcomer", &[cluster_ip(Family::V4, 201)]).port(Proto::Tcp, 80, 8080, 0);
    scenario.manifests.put_slice(&newcomer.slice(Family::V4))?;
    scenario.manifests.put_service(&newcomer)?;
    let to = SocketAddr::new(cluster_ip(Family::V4, 201), 80);
    let reject = || client.dial(Proto::Tcp, to).ok()?.result.err().filter(|failure| failure.reason == "ECONNREFUSED");
    wait::until(SOON, "a Service without endpoints, which needs no backend", reject)?;
    scenario.manifests.remove("giant.yaml")?;
    wait::until(LATER, "the alarm to end", || refused(agent).filter(|told| *told == (0.0, 0.0)))?;
    served(&scenario)
}

/// Service ports that the small tables take.
const FEW: u32 = 32;

/// Connections that find no room among the flows are served, and told of, until there is room again.
#[test]
fn a_full_flow_table_is_told_and_heals() -> Result<()> {
    let flags = ["--table-entries", "flows=1024", "--flow-timeouts", "tcp-closed=5s"];
    let scenario = Scenario::start("input-flows", Spec::new(PodNetwork::Routed), &flags)?;
    let agent = &scenario.agents[0];
    let told = || Some(agent.metrics().ok()?.sum("sluice_degraded", &["condition=\"flows_spill\""]) == 1.0);
    ensure!(told() == Some(false), "{}", agent.cli(&["status"])?);
    let outside = scenario.cluster.outside();
    let target = || traffic::Target::new(Proto::Tcp, scenario.node_port(0, Target::Near, Family::V4));
    let held = Held { targets: vec![target()], count: 10, bind: None, interval_ms: 20, timeout_ms: 1000 };
    let held = outside.hold(held)?;
    let load = Load { workers: 1, limit: MANY, ..Load::new(vec![target()], 0) };
    let report: LoadReport = outside.load(load)?.report(LATER)?;
    ensure!(report.requests() == MANY && report.failed() == 0, "{}", report.failures());
    let places = || agent.metrics().ok().map(|metrics| metrics.sum("sluice_map_entries", &["map=\"CONNECTIONS\""]));
    wait::until(SOON, "all places for connections to be taken", || places().filter(|taken| *taken == PLACES))?;
    wait::until(SOON, "metrics to say that flows find no room", || told().filter(|told| *told))
        .with_context(|| agent.log_tail(5))?;
    let said = || agent.cli(&["status"]).ok().filter(|text| text.contains("flows_spill") && text.contains("--table-entries"));
    wait::until(SOON, "the status to say it", said)?;
    wait::until(LATER, "the warning to end", || told().filter(|told| !*told))?;
    let report: HeldReport = held.finish()?;
    ensure!(report.opened == 10 && report.broken.is_empty() && report.moved == 0, "what is open stays: {report:?}");
    Ok(())
}

/// In tables that newer Services fill, an older one takes the place of the newest, and gives it back.
#[test]
fn s9_a_full_table_serves_an_older_service_that_comes_last() -> Result<()> {
    let mut scenario = Scenario::start("input-older", Spec::new(PodNetwork::Routed), &[])?;
    // Services without a date count as the newest of all.
    Target::ALL.iter().try_for_each(|target| scenario.manifests.remove(&format!("{}.yaml", target.name())))?;
    scenario.agents[0].clean()?;
    create_pinned(&scenario.cluster.pins(0), &Capacity { services: FEW, ..Capacity::for_this_machine() })?;
    scenario.agents[0].start()?;
    let last = FEW as u16 + 3;
    (1..=last)
        .try_for_each(|number| put_dated(&scenario, &flood(number), number, &format!("2026-01-01T00:00:{number:02}Z")))?;
    let left_out = || left_out(&scenario.agents[0]).ok();
    let told = wait::until(LATER, "the newest to be left out", || left_out().filter(|names| names.contains(&flood(last))))?;
    let newest = last - told.len() as u16;
    ensure!(told == (newest + 1..=last).map(flood).collect(), "not the newest: {told:?}");
    told.iter().try_for_each(|name| scenario.manifests.remove(&format!("{name}.yaml")))?;
    wait::until(LATER, "a table that is just full", || left_out().filter(BTreeSet::is_empty))?;
    is_served(&scenario, newest)?;

    put_dated(&scenario, "elder", last + 1, "2020-01-01T00:00:00Z")?;
    is_served(&scenario, last + 1).context("an older Service that came last")?;
    wait::until(LATER, "the newest alone to be left out", || left_out().filter(|names| *names == [flood(newest)].into()))?;
    ensure!(dial(&scenario, newest).is_none(), "the newest is told to be left out, and answers");
    (1..newest).try_for_each(|number| is_served(&scenario, number)).context("one of the others")?;

    scenario.manifests.remove("elder.yaml")?;
    is_served(&scenario, newest).context("the newest, once there is room")?;
    wait::until(PROMPT, "nothing to be left out", || left_out().filter(BTreeSet::is_empty)).map(drop)
}

fn flood(number: u16) -> String {
    format!("flood-{number}")
}

/// A Service of one port and a date, served by the near pod. Its number makes its address.
fn put_dated(scenario: &Scenario, name: &str, number: u16, created: &str) -> Result<()> {
    let service = Service::new(name, &[cluster_ip(Family::V4, 300 + number)]).port(Proto::Tcp, 80, 8080, 0);
    let service = Service { created: created.to_owned(), ..service };
    scenario.manifests.put_slice(&service.slice(Family::V4).endpoint(scenario.near.ip(Family::V4), "node1"))?;
    scenario.manifests.put_service(&service)
}

/// Who answers at the address with this number.
fn dial(scenario: &Scenario, number: u16) -> Option<String> {
    let to = SocketAddr::new(cluster_ip(Family::V4, 300 + number), 80);
    let outcomes = scenario.client.probe(Probe { timeout_ms: 300, ..Probe::once(Proto::Tcp, to) }).ok()?;
    outcomes.into_iter().find_map(|outcome| Some(outcome.result.ok()?.by))
}

fn is_served(scenario: &Scenario, number: u16) -> Result<()> {
    wait::until(SOON, "an answer", || dial(scenario, number).filter(|by| by == "near")).map(drop)
}

/// The Services that `sluice services --rejected` names.
fn left_out(agent: &Agent) -> Result<BTreeSet<String>> {
    let told: Value = serde_json::from_str(&agent.cli(&["services", "--rejected", "-o", "json"])?)?;
    let rejected = told["rejected"].as_array().context("no list")?;
    Ok(rejected.iter().filter_map(|rejection| Some(rejection["service"].as_str()?.to_owned())).collect())
}

#[test]
fn thousands_of_ports_and_endpoints_equal_to_the_service() -> Result<()> {
    let scenario = Scenario::start("input-ports", Spec::new(PodNetwork::Routed), &[])?;
    let near = scenario.near.ip(Family::V4);
    let ports = 5_000;
    let (service, slice) = giant("ports", 210, ports, 0);
    scenario.manifests.put("ports.yaml", &service)?;
    // The last port but one leads to the pod's server.
    let slice = slice.replace("  port: 4999\n", "  port: 8080\n") + &format!("- addresses: [\"{near}\"]\n");
    scenario.manifests.put("ports-slice.yaml", &slice)?;
    let to = |port| SocketAddr::new(cluster_ip(Family::V4, 210), port);
    let answered = || scenario.client.dial(Proto::Tcp, to(4_999)).ok()?.result.ok();
    wait::until(LATER, "the last port but one", answered)?;
    let dial = scenario.client.dial(Proto::Tcp, to(ports + 1))?;
    let failure = dial.result.err().context("a port that the Service does not have answers")?;
    ensure!(failure.reason == "ECONNREFUSED", "{failure}");

    // A Service that is its own endpoint serves nobody, and is the only one to suffer from that.
    let itself = Service::new("itself", &[cluster_ip(Family::V4, 211)]).port(Proto::Tcp, 80, 80, 0);
    scenario.manifests.put_slice(&itself.slice(Family::V4).endpoint(cluster_ip(Family::V4, 211), "node1"))?;
    scenario.manifests.put_service(&itself)?;
    let shown =
        || scenario.agents[0].cli(&["services", "--service", "default/itself"]).ok().filter(|text| text.contains("itself"));
    wait::until(SOON, "the Service in the tables", shown)?;
    let probe = Probe { timeout_ms: 300, ..Probe::once(Proto::Tcp, SocketAddr::new(cluster_ip(Family::V4, 211), 80)) };
    ensure!(scenario.client.probe(probe)?[0].result.is_err(), "a Service that leads to itself answers");
    served(&scenario)
}

#[test]
fn an_object_that_flaps_a_thousand_times_a_second_delays_no_other() -> Result<()> {
    let scenario = Scenario::start("input-flap", Spec::new(PodNetwork::Routed), &[])?;
    let (manifests, near) = (&scenario.manifests, scenario.near.ip(Family::V4));
    let flapping = Service::new("flapping", &[cluster_ip(Family::V4, 220)]).port(Proto::Tcp, 80, 8080, 0);
    manifests.put_service(&flapping)?;
    let slices = [flapping.slice(Family::V4), flapping.slice(Family::V4).endpoint(near, "node1")];
    let (file, drafts) = (format!("{}.yaml", slices[0].name()), ["flapping-empty", "flapping-served"]);
    let drafts = [manifests.prepare(drafts[0], &slices[0].yaml())?, manifests.prepare(drafts[1], &slices[1].yaml())?];
    let steady = Family::BOTH.map(|family| traffic::Target::new(Proto::Tcp, Target::Both.cluster_ip(family)));
    let steady = scenario.client.load(Load::new(steady.into(), STEADY))?;
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let flap = || -> Result<u32> {
        let mut writes = 0;
        while !stop.load(Ordering::Relaxed) {
            manifests.put_again(&drafts[writes as usize % 2], &file)?;
            writes += 1;
        }
        Ok(writes)
    };
    let (writes, worst) = thread::scope(|scope| {
        let writer = scope.spawn(flap);
        let worst = changes_of_another(&scenario, began + FLAPPING);
        stop.store(true, Ordering::Relaxed);
        (writer.join().expect("the writer does not panic"), worst)
    });
    let (writes, worst) = (writes?, worst?);
    let rate = f64::from(writes) / began.elapsed().as_secs_f64();
    let steady: LoadReport = steady.finish()?;
    println!(
        "REPORT: {writes} writes of one slice, {rate:.0} a second; another Service's change seen after {worst:?} at most; a third \
         Service answered {} connections, {} failed",
        steady.requests(),
        steady.failed()
    );
    ensure!(rate >= WRITES_A_SECOND, "{rate:.0} writes a second, {WRITES_A_SECOND} are wanted");
    ensure!(steady.failed() == 0 && steady.requests() > 0, "a third Service meanwhile: {}", steady.failures());
    ensure!(worst < Duration::from_secs(1), "a change waited for {worst:?}");
    manifests.put_slice(&slices[1])?;
    let to = SocketAddr::new(cluster_ip(Family::V4, 220), 80);
    wait::until(SOON, "what was written last", || {
        let outcomes = scenario.client.probe(Probe::times(Proto::Tcp, to, 10)).ok()?;
        outcomes.iter().all(|outcome| outcome.result.is_ok()).then_some(())
    })?;
    served(&scenario)
}

/// Changes another Service until `end`: the longest that any of the changes took.
fn changes_of_another(scenario: &Scenario, end: Instant) -> Result<Duration> {
    let mut worst = Duration::ZERO;
    while Instant::now() < end {
        for served in [true, false] {
            worst = worst.max(change_of_another(scenario, served)?);
        }
    }
    Ok(worst)
}

/// How long it takes until a client sees that another Service has an endpoint, or none.
fn change_of_another(scenario: &Scenario, served: bool) -> Result<Duration> {
    let pods = if served { vec![(&scenario.near, "node1")] } else { Vec::new() };
    scenario.set_endpoints(Target::Nobody, &pods)?;
    let (written, to) = (Instant::now(), Target::Nobody.cluster_ip(Family::V6));
    wait::until(SOON, "the other Service", || {
        let outcome = scenario.client.dial(Proto::Tcp, to).ok()?;
        (outcome.result.is_ok() == served).then_some(())
    })?;
    Ok(written.elapsed())
}

fn served(scenario: &Scenario) -> Result<()> {
    for family in Family::BOTH {
        let to = Target::Both.cluster_ip(family);
        let outcomes = scenario.client.probe(Probe::times(Proto::Tcp, to, 10))?;
        expect::answered(&to, &outcomes, to, &["near", "far"])?;
    }
    Ok(())
}

//! How long an endpoint that turned unready, or left, still gets new connections, measured with real connections: from the moment
//! when its slice has been written. A turn above the limit is repeated ([`expect::within`]).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_agent::maps::Reader;
use proxy_common::abi::{self, Addr};
use sluice_tests::bench::percentile;
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::scenario::Target;
use sluice_tests::traffic::{self, Load, LoadReport};
use sluice_tests::wait::monotonic_ns;
use sluice_tests::{Family, PodNetwork, Proto, Scenario, Spec, Traffic};

/// The most that may pass from the write of the slice to the last new connection on the old endpoint.
const LIMIT_MS: f64 = 100.0;
/// Turns: in half of them a pod turns unready, in the others it leaves.
const TURNS: usize = 10;
/// The most that an edit of a manifest may take, from its rename to the flip; one of twenty may be late, by a pause of the machine.
const EDIT_MS: f64 = 50.0;
/// Edits of one manifest.
const EDITS: usize = 40;
/// A change that takes longer is lost.
const SOON: Duration = Duration::from_secs(3);
/// How long endpoints come and go.
const CHURN: Duration = Duration::from_secs(5);

#[test]
fn the_last_connection_to_an_unready_endpoint_comes_within_100_ms() -> Result<()> {
    let scenario = Scenario::start("readiness", Spec::new(PodNetwork::Routed), &[])?;
    let mut late: BTreeMap<(&str, &str), [Vec<f64>; 2]> = BTreeMap::new();
    for number in 0..TURNS {
        let (end, mut dropped) = (End::ALL[number % 2], Vec::new());
        let kept = expect::within(LIMIT_MS, |(_, ms)| *ms, &mut dropped, || turn(&scenario, number / 2 % 2 == 0, end))?;
        for (samples, place) in [(kept, 0), (dropped, 1)] {
            samples.into_iter().for_each(|(who, ms)| late.entry((who, end.word())).or_default()[place].push(ms));
        }
    }
    for ((who, end), [mut late, dropped]) in late {
        late.sort_by(f64::total_cmp);
        let (median, last) = (late[late.len() / 2], late[late.len() - 1]);
        println!(
            "REPORT: from {who}: last connection to an endpoint that {end} {median:.1} ms (median), {last:.1} ms (most) after its \
             slice was written; of turns measured again {dropped:.1?}"
        );
    }
    Ok(())
}

/// How an endpoint ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its slice says `ready: false`.
    Unready,
    /// Its slice lacks it.
    Gone,
}

impl End {
    const ALL: [Self; 2] = [Self::Unready, Self::Gone];

    fn word(self) -> &'static str {
        match self {
            Self::Unready => "turned unready",
            Self::Gone => "left",
        }
    }
}

#[test]
fn edits_of_a_manifest_take_effect_within_50_ms() -> Result<()> {
    let scenario = Scenario::start("readiness-edit", Spec::new(PodNetwork::Routed), &[])?;
    let reader = Reader::open(&scenario.cluster.pins(0))?;
    let mut dropped = Vec::new();
    let turn = || Ok(vec![edits(&scenario, &reader)?]);
    for kept in expect::within(EDIT_MS, |edits| percentile(edits, 95.0), &mut dropped, turn)? {
        let [median, p99, most] = [50.0, 99.0, 100.0].map(|percent| percentile(&kept, percent));
        println!(
            "REPORT: from the rename of a manifest to the flip {median:.1} ms (median), {p99:.1} ms (p99), {most:.1} ms (most) of \
             {EDITS}; of turns measured again {dropped:.1?}"
        );
    }
    Ok(())
}

/// The endpoint of a Service changes from one pod to the other, time and again: milliseconds from each rename until the tables have it.
/// What is seen there, a new connection meets.
fn edits(scenario: &Scenario, reader: &Reader) -> Result<Vec<f64>> {
    let (client, to) = (&scenario.client, Target::Near.cluster_ip(Family::V4));
    let edit = |number: usize| {
        let (pod, node) = [(&scenario.far, "node2"), (&scenario.near, "node1")][number % 2];
        let slice = Target::Near.service().slice(Family::V4).endpoint(pod.ip(Family::V4), node);
        let written = Instant::now();
        scenario.manifests.put_slice(&slice)?;
        while !leads_to(reader, Target::Near, pod.ip(Family::V4))? {
            ensure!(written.elapsed() < SOON, "the edit is not in the tables after {SOON:?}");
            thread::sleep(Duration::from_micros(200));
        }
        let late = written.elapsed().as_secs_f64() * 1e3;
        expect::answered(&to, &[client.dial(Proto::Tcp, to)?], to, &[pod.name()])?;
        Ok(late)
    };
    (0..EDITS).map(edit).collect()
}

/// Whether both service ports of a Service, TCP and UDP, have this endpoint and no other in the tables.
fn leads_to(reader: &Reader, target: Target, pod: IpAddr) -> Result<bool> {
    let family = if pod.is_ipv4() { abi::Family::V4 } else { abi::Family::V6 };
    let views = reader.services()?;
    let mut ports = views.iter().filter(|view| view.name.name() == target.name() && view.name.family() == family).peekable();
    Ok(ports.peek().is_some() && ports.all(|view| view.backends.iter().map(|backend| backend.addr).eq([Addr::from(pod)])))
}

/// While endpoints come and go hundreds of times a second, every new connection finds one that serves: none meets half a change.
#[test]
fn new_connections_never_meet_half_a_change() -> Result<()> {
    let scenario = Scenario::start("readiness-churn", Spec::new(PodNetwork::Routed), &[])?;
    let (near, far) = ((&scenario.near, "node1"), (&scenario.far, "node2"));
    let loads = loads(&scenario)?;
    let flips = || Ok::<_, anyhow::Error>(scenario.agents[0].metrics()?.sum("sluice_flips_total", &[]));
    let (before, began, mut writes) = (flips()?, Instant::now(), 0_u32);
    while began.elapsed() < CHURN {
        for pods in [&[near][..], &[near, far], &[far]] {
            scenario.set_endpoints(Target::Both, pods)?;
            writes += 1;
            thread::sleep(Duration::from_millis(2));
        }
    }
    let (mut requests, changes) = (0, flips()? - before);
    for (who, load) in loads {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0, "from {who}: {}", report.failures());
        requests += report.requests();
    }
    println!("REPORT: {writes} changes of a Service, {changes} flips, {requests} new connections meanwhile, none failed");
    ensure!(changes >= 500.0, "{changes} flips are no churn");
    Ok(())
}

/// Loads from outside, from a pod and from a node.
fn loads(scenario: &Scenario) -> Result<[(&'static str, Traffic); 3]> {
    let outside = |proto, family| (proto, scenario.node_port(0, Target::Both, family));
    let pod = |proto, family| (proto, Target::Both.cluster_ip(family));
    Ok([
        ("outside", scenario.cluster.outside().load(load(outside))?),
        ("pod", scenario.client.load(load(pod))?),
        ("node", scenario.cluster.node(0).load(load(pod))?),
    ])
}

/// One pod turns unready, or leaves, and comes back. For each client: how many milliseconds after the write was done its last connection to
/// that pod began.
fn turn(scenario: &Scenario, near_leaves: bool, end: End) -> Result<Vec<(&'static str, f64)>> {
    let loads = loads(scenario)?;
    thread::sleep(Duration::from_millis(300));
    let (leaving, staying) = if near_leaves { ("near", (&scenario.far, "node2")) } else { ("far", (&scenario.near, "node1")) };
    let pods = [(&scenario.near, "node1", !near_leaves), (&scenario.far, "node2", near_leaves)];
    match end {
        End::Unready => scenario.set_readiness(Target::Both, &pods)?,
        End::Gone => scenario.set_endpoints(Target::Both, &[staying])?,
    }
    let written = monotonic_ns();
    thread::sleep(Duration::from_millis(400));
    let measure = |(who, load): (&'static str, Traffic)| {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0, "from {who}: {}", report.failures());
        let last = report.last_start(leaving).with_context(|| format!("from {who}: no answer by {leaving}"))?;
        Ok((who, last.saturating_sub(written) as f64 / 1e6))
    };
    let late = loads.into_iter().map(measure).collect::<Result<Vec<_>>>()?;
    scenario.set_endpoints(Target::Both, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    thread::sleep(Duration::from_millis(150));
    Ok(late)
}

/// 100 new connections a second in each family and protocol.
fn load(to: impl Fn(Proto, Family) -> (Proto, SocketAddr)) -> Load {
    let targets = families_and_protocols().map(|(family, proto)| to(proto, family));
    Load::new(targets.map(|(proto, to)| traffic::Target::new(proto, to)).collect(), 100)
}

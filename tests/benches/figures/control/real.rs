//! An agent that follows a real API server: how soon it is ready, what memory it takes, and when a written slice is in force, beside
//! a bare watch client and kube-proxy.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proxy_agent::maps::{Read, Reader};
use proxy_common::abi::ServiceId;
use sluice_tests::bench::{Figure, Target, percentile};
use sluice_tests::controlplane::KubeProxy;
use sluice_tests::{Agent, Cluster, ControlPlane, Family, PodNetwork, Spec, wait};

use super::watcher::Watcher;
use crate::objects::{self, From, Size};

const SIZE: Size = Size::new(10_000, 10);
const STARTS: usize = 3;
/// Slices that are written one after the other.
const WRITES: usize = 300;
/// Connections that fill the API server at a time.
const WRITERS: usize = 4;
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const LIMIT: Duration = Duration::from_secs(20);
/// After this a start has given back what only the start needed.
const SETTLED: Duration = Duration::from_secs(3);
/// Between two looks at a table.
const LOOK: Duration = Duration::from_micros(20);
const MIB: f64 = 1024.0;
const MILLI: f64 = 1e3;

/// Everything that needs an API server; some minutes, most of them to fill it.
pub fn measure() -> Result<Vec<Figure>> {
    let cluster = Cluster::build("bench-api", Spec::new(PodNetwork::Routed))?;
    let outside = cluster.outside();
    let plane = ControlPlane::start(outside.netns(), outside.ip(Family::V4), &cluster.scratch())?;
    plane.deploy()?;
    for node in cluster.nodes() {
        plane.add_node(node.name(), &Family::BOTH.map(|family| node.ip(family)))?;
    }
    let kubeconfig = plane.agent_kubeconfig().display().to_string();
    let mut agent = Agent::with_source(&cluster, 0, &["--kubeconfig", &kubeconfig], &[]);
    agent.start()?;
    let idle = memory(&agent)?;
    agent.clean()?;
    fill(&plane)?;
    let (mut starts, mut filled) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        agent.start()?;
        starts.push(began.elapsed().as_secs_f64());
        filled.push(memory(&agent)?);
        agent.clean()?;
    }
    let (began, mut proxy) = (Instant::now(), KubeProxy::start(cluster.node(1), &plane, &cluster.scratch())?);
    proxy.wait_synced()?;
    let of_proxy = began.elapsed().as_secs_f64();
    drop(proxy);
    agent.start()?;
    let [flips, watches, later] = write_slices(&cluster, &plane)?;
    let part = |of: fn(&Memory) -> f64| filled.iter().map(of).collect::<Vec<_>>();
    Ok(vec![
        Figure::new("start to ready, 10,000 × 10 in the API server", "s", &starts).target(Target::AtMost(5.0)),
        Figure::new("… kube-proxy nftables, to its first rules", "s", &[of_proxy]),
        Figure::new("resident memory, idle", "MiB", &[idle.own]).target(Target::AtMost(24.0)),
        Figure::new("… 10,000 × 10", "MiB", &part(|memory| memory.own)).target(Target::AtMost(120.0)),
        Figure::new("… mapped tables beside it", "MiB", &part(|memory| memory.tables)),
        Figure::new("slice written, API's answer to flip, p99", "ms", &[flips]),
        Figure::new("… to a bare watch client's event, p99", "ms", &[watches]),
        Figure::new("… the flip's p99 later than the client's", "ms", &[flips - watches]).target(Target::AtMost(3.0)),
        Figure::new("… from that event to the flip, p99", "ms", &[later]),
    ])
}

/// What a process has in memory, in MiB.
struct Memory {
    /// Without mapped tables.
    own: f64,
    /// Mapped tables.
    tables: f64,
}

fn memory(agent: &Agent) -> Result<Memory> {
    thread::sleep(SETTLED);
    let pid = agent.pid().context("the agent does not run")?;
    let text = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    let (mut own, mut tables, mut is_table) = (0.0, 0.0, false);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Rss:") {
            let kib: f64 = rest.trim().trim_end_matches(" kB").parse()?;
            *(if is_table { &mut tables } else { &mut own }) += kib / MIB;
        } else if line.split_whitespace().next().is_some_and(|word| word.contains('-')) {
            is_table = line.contains("bpf-map");
        }
    }
    Ok(Memory { own, tables })
}

fn fill(plane: &ControlPlane) -> Result<()> {
    let write = |first: usize| -> Result<()> {
        for number in (first..SIZE.services).step_by(WRITERS) {
            plane.call("POST", SERVICES, &objects::service_json(number, From::User))?;
            plane.call("POST", SLICES, &SIZE.slice_json(number, 0, &[], From::User))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|first| scope.spawn(move || write(first))).collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("a writer does not panic"))
    })
}

/// The 99th percentiles, in milliseconds: from the answer to a write to the flip, to a bare client's event, and from the one to the other.
fn write_slices(cluster: &Cluster, plane: &ControlPlane) -> Result<[f64; 3]> {
    let watcher = Watcher::start(cluster.node(1).netns(), &plane.admin_kubeconfig())?;
    let reader = Reader::open(&cluster.pins(0))?;
    let ids: Vec<ServiceId> = (0..WRITES).map(|turn| id_of(&reader, turn * (SIZE.services / WRITES))).collect::<Result<_>>()?;
    let (mut flips, mut watches, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for (turn, id) in ids.into_iter().enumerate() {
        let number = turn * (SIZE.services / WRITES);
        let name = objects::slice_name(number, 0);
        let before = reader.tables().service(id);
        plane.call("PUT", &format!("{SLICES}/{name}"), &SIZE.slice_json(number, 0, &[0], From::User))?;
        let answered = Instant::now();
        let flipped = loop {
            if reader.tables().service(id) != before {
                break Instant::now();
            }
            ensure!(answered.elapsed() < LIMIT, "{name} is not in force after {LIMIT:?}");
            thread::sleep(LOOK);
        };
        let seen = watcher.wait_for(&name, LIMIT)?;
        let since = |time: Instant, start: Instant| time.saturating_duration_since(start).as_secs_f64() * MILLI;
        flips.push(since(flipped, answered));
        watches.push(since(seen, answered));
        later.push(since(flipped, seen));
    }
    Ok([flips, watches, later].map(|values| percentile(&values, 99.0)))
}

fn id_of(reader: &Reader, number: usize) -> Result<ServiceId> {
    let name = objects::name_of(number);
    let find = || reader.names().find(|(_, known)| known.name() == name).map(|(id, _)| id);
    wait::until(LIMIT, &format!("{name} in the tables"), find)
}

//! The clients that never pause while the story is told: outside, in a pod and on a node, in both families.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use sluice_tests::traffic::{Held, HeldReport, Load, LoadReport, Target, TargetReport};
use sluice_tests::{Cluster, Family, Host, Proto, Traffic};

use super::apps::{HELLO, VOTE, hello_address};

/// New connections a second that each client must make to each of its targets, one of each family.
pub const LEAST: f64 = 200.0;
/// What each client is told to make: a worker that was held up for long does not make up for it.
pub const RATE: u32 = 220;
/// Connections that stay open, to each of the targets.
const HELD: u32 = 5;

/// All clients.
#[derive(Debug)]
pub struct Loads {
    parts: Vec<Traffic>,
    held: Traffic,
}

/// What became of all requests.
#[derive(Debug, Default)]
pub struct Totals {
    /// By target.
    pub loads: LoadReport,
    /// The connections that stayed open.
    pub held: HeldReport,
}

impl Loads {
    /// Starts them; `client` is a pod.
    pub fn start(cluster: &Cluster, client: &Arc<Host>) -> Result<Self> {
        let outside = Load::new(node_ports(cluster), RATE);
        let pod = Load::new(cluster_ips(), RATE);
        let own = Load::new(localhost(), RATE);
        let parts = vec![cluster.outside().load(outside)?, client.load(pod)?, cluster.node(0).load(own)?];
        let held = Held { targets: steady(cluster), count: HELD, bind: None, interval_ms: 100, timeout_ms: 5000 };
        Ok(Self { parts, held: cluster.outside().hold(held)? })
    }

    /// How they stand, all together.
    pub fn progress(&mut self) -> LoadReport {
        LoadReport { targets: self.parts.iter_mut().flat_map(|part| part.progress().targets.clone()).collect() }
    }

    /// Ends them.
    pub fn finish(self) -> Result<Totals> {
        let mut loads = LoadReport::default();
        for part in self.parts {
            loads.targets.extend(part.finish::<LoadReport>()?.targets);
        }
        Ok(Totals { loads, held: self.held.finish()? })
    }
}

/// What each target's client achieved between two reports, in new connections a second.
pub fn rates(before: &LoadReport, after: &LoadReport) -> BTreeMap<String, f64> {
    let earlier = |label: &str| before.targets.iter().find(|target| target.label == label);
    let rate = |target: &TargetReport| Some((target.label.clone(), target.rate_since(earlier(&target.label)?)));
    after.targets.iter().filter_map(rate).collect()
}

/// How often each server answered, over all targets.
pub fn answers(report: &LoadReport) -> BTreeMap<String, u64> {
    let mut answers = BTreeMap::new();
    for (name, answerer) in report.targets.iter().flat_map(|target| &target.answerers) {
        *answers.entry(name.clone()).or_default() += answerer.count;
    }
    answers
}

/// The NodePort of both nodes from outside: IPv4 at one, IPv6 at the other.
fn node_ports(cluster: &Cluster) -> Vec<Target> {
    let case = |(node, family)| {
        let host = cluster.node(node);
        let label = format!("outside → {}:{} {family}", host.name(), HELLO[1]);
        Target::named(label, Proto::Tcp, host.at(family, HELLO[1]))
    };
    [(0, Family::V4), (1, Family::V6)].map(case).to_vec()
}

/// The voting app, whose pods stay: a connection to a pod that is killed would end with it.
fn steady(cluster: &Cluster) -> Vec<Target> {
    let nodes = cluster.nodes().iter();
    nodes.flat_map(|node| Family::BOTH.map(|family| Target::new(Proto::Tcp, node.at(family, VOTE)))).collect()
}

fn cluster_ips() -> Vec<Target> {
    let case = |family| {
        let to = hello_address(family);
        Target::named(format!("pod → {to}"), Proto::Tcp, to)
    };
    Family::BOTH.map(case).to_vec()
}

fn localhost() -> Vec<Target> {
    let case = |ip: IpAddr| {
        let to = SocketAddr::new(ip, HELLO[1]);
        Target::named(format!("node1 → {to}"), Proto::Tcp, to)
    };
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(case).to_vec()
}

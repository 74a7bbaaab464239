//! What a connection costs: through a ClusterIP, through NodePorts, and past all of it.

use std::net::SocketAddr;
use std::process::Child;
use std::sync::Arc;

use anyhow::Result;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sluice_tests::bench::{Figure, Target};
use sluice_tests::manifests::{Service, node_yaml};
use sluice_tests::{Agent, Cluster, Family, Host, Manifests, PodNetwork, Proto, Spec, cluster_ip};

use super::load::{self, Lane, Work};

/// Directly dialled, and behind Services: no two lanes share a tuple.
const DIRECT: u16 = 8_001;
const BEHIND: u16 = 8_002;
const PORT: u16 = 80;
const NEAR: (u16, u16) = (10, 30_010);
const FAR: (u16, u16) = (11, 30_011);
/// The outside client's second address, which is reached over the bare hop.
const OVER_HOP: &str = "192.168.50.101";
const FAMILY: Family = Family::V4;

/// Node 0 runs Sluice; nodes 1 and 2 run nothing.
struct World {
    with: [Arc<Host>; 2],
    without: [Arc<Host>; 2],
    far: Arc<Host>,
    cluster: Cluster,
    _agent: Agent,
    servers: Vec<Child>,
}

/// Measures all lanes in `rounds` rounds.
pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)?;
    let world = World::build()?;
    let mut figures = inside(&world, rounds)?;
    figures.push(stream(&world, rounds)?);
    figures.extend(outside(&world, rounds)?);
    Ok(figures)
}

/// Pods of one node: dialled directly without Sluice, with it, through the ClusterIP.
fn inside(world: &World, rounds: usize) -> Result<Vec<Figure>> {
    let (with, without) = (&world.with[0], &world.without[0]);
    let bare = Lane { from: without, to: world.without[1].at(FAMILY, DIRECT) };
    let direct = Lane { from: with, to: world.with[1].at(FAMILY, DIRECT) };
    let service = Lane { from: with, to: SocketAddr::new(cluster_ip(FAMILY, NEAR.0), PORT) };
    let again = |lane: &Lane<'_>| Lane { from: if lane.to == bare.to { without } else { with }, to: lane.to };
    let (bare_again, direct_again) = (again(&bare), again(&direct));
    let rates = load::race(&[bare, direct, service, direct_again, bare_again], Work::Requests, rounds)?;
    let [bare, direct, service, direct_again, bare_again] = &rates[..] else { unreachable!("five lanes") };
    Ok(vec![
        ratio("crr: ClusterIP ÷ pod", service, (direct, direct_again)).target(Target::AtLeast(0.97)),
        ratio("crr: pod, node with Sluice ÷ without", &means(direct, direct_again), (bare, bare_again))
            .target(Target::AtLeast(0.95)),
    ])
}

/// One TCP stream.
fn stream(world: &World, rounds: usize) -> Result<Figure> {
    let [from, pod] = &world.with;
    let direct = || Lane { from, to: pod.at(FAMILY, DIRECT) };
    let service = Lane { from, to: SocketAddr::new(cluster_ip(FAMILY, NEAR.0), PORT) };
    let rates = load::race(&[direct(), service, direct()], Work::Stream, rounds)?;
    Ok(ratio("stream: ClusterIP ÷ pod", &rates[1], (&rates[0], &rates[2])).target(Target::AtLeast(0.98)))
}

/// The outside client: over the node's own forwarding, and over one node more.
fn outside(world: &World, rounds: usize) -> Result<Vec<Figure>> {
    let from = world.cluster.outside();
    let node = world.cluster.node(0);
    let direct = || Lane { from, to: world.without[1].at(FAMILY, DIRECT) };
    let hop = || Lane { from, to: world.far.at(FAMILY, DIRECT) };
    let (near, far) = (Lane { from, to: node.at(FAMILY, NEAR.1) }, Lane { from, to: node.at(FAMILY, FAR.1) });
    let rates = load::race(&[direct(), near, direct(), hop(), far, hop()], Work::Requests, rounds)?;
    Ok(vec![
        ratio("crr: NodePort, local backend ÷ pod", &rates[1], (&rates[0], &rates[2])).target(Target::AtLeast(0.95)),
        ratio("crr: NodePort, remote backend ÷ bare hop", &rates[4], (&rates[3], &rates[5])).target(Target::AtLeast(0.90)),
    ])
}

/// A rate divided by the mean of its two neighbours, round by round, beside the second neighbour divided by the first.
fn ratio(name: &str, rates: &[f64], (before, after): (&[f64], &[f64])) -> Figure {
    let divide = |over: &[f64], under: &[f64]| over.iter().zip(under).map(|(a, b)| a / b).collect::<Vec<f64>>();
    Figure::new(name, "ratio", &divide(rates, &means(before, after))).beside(&divide(after, before))
}

fn means(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| (a + b) / 2.0).collect()
}

impl World {
    fn build() -> Result<Self> {
        let cluster = Cluster::build("bench-net", Spec::new(PodNetwork::Routed).nodes(3))?;
        let pair = |node: usize, names: [&str; 2]| -> Result<[Arc<Host>; 2]> {
            Ok([cluster.add_pod(node, names[0])?, cluster.add_pod(node, names[1])?])
        };
        let (with, without) = (pair(0, ["client", "server"])?, pair(1, ["client-bare", "server-bare"])?);
        let far = cluster.add_pod(2, "far")?;
        lead_over_hop(&cluster, &far)?;
        let servers = [&with[1], &without[1], &far].map(|host| load::serve(host, &[DIRECT, BEHIND]));
        let manifests = write(&cluster, &with[1], &far)?;
        let mut agent = Agent::for_node(&cluster, 0, manifests.path(), &[]);
        agent.start()?;
        Ok(Self { with, without, far, cluster, _agent: agent, servers: servers.into_iter().collect::<Result<_>>()? })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // It has ended already if this fails.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// The far pod is reached over node 1 in both directions, by a second address of the outside client.
fn lead_over_hop(cluster: &Cluster, far: &Host) -> Result<()> {
    let hop = cluster.node(1);
    for key in ["all", "eth0"] {
        hop.netns().sysctl(&format!("net/ipv4/conf/{key}/send_redirects"), "0")?;
    }
    let via = hop.ip(FAMILY);
    cluster.outside().netns().ip(&format!(
        "addr add {OVER_HOP}/24 dev eth0\n\
         route add {}/32 via {via} src {OVER_HOP}\n",
        far.ip(FAMILY)
    ))?;
    cluster.node(2).netns().ip(&format!("route add {OVER_HOP}/32 via {via}\n"))
}

fn write(cluster: &Cluster, near: &Host, far: &Host) -> Result<Manifests> {
    let manifests = Manifests::create(&cluster.scratch())?;
    for node in cluster.nodes() {
        manifests.put(&format!("{}.yaml", node.name()), &node_yaml(node.name(), &[node.ip(FAMILY)]))?;
    }
    for (name, (number, node_port), pod, node) in [("near", NEAR, near, 0), ("far", FAR, far, 2)] {
        let service = Service::new(name, &[cluster_ip(FAMILY, number)]).port(Proto::Tcp, PORT, BEHIND, node_port);
        manifests.put_slice(&service.slice(FAMILY).endpoint(pod.ip(FAMILY), cluster.node(node).name()))?;
        manifests.put_service(&service)?;
    }
    Ok(manifests)
}

//! The cluster that the suites share: four Services over two pods, one on each node, and an agent on both nodes.
//!
//! Invariant: agents end before pods, and pods before the cluster.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::agent::Agent;
use crate::cluster::{Cluster, Host, Spec, cluster_ip};
use crate::manifests::{Endpoint, Manifests, Service, Slice, node_yaml};
use crate::net::{Family, Proto};
use crate::traffic::Traffic;
use crate::wait;

/// The port of every Service.
pub const PORT: u16 = 80;
/// The port of every pod.
pub const POD_PORT: u16 = 8080;
/// How soon a change is in force.
const SOON: Duration = Duration::from_secs(3);
/// The Node objects of the two pods.
const NAMES: [&str; 2] = ["node1", "node2"];

/// A Service of the scenario: its endpoints tell its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The pod `near` on node 0.
    Near,
    /// The pod `far` on node 1.
    Far,
    /// Both pods.
    Both,
    /// No endpoint.
    Nobody,
}

impl Target {
    /// Every Service, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Near, Self::Far, Self::Both, Self::Nobody];

    /// The Service's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Both => "both",
            Self::Nobody => "nobody",
        }
    }

    /// Its ClusterIP and port.
    pub fn cluster_ip(self, family: Family) -> SocketAddr {
        SocketAddr::new(cluster_ip(family, 10 + self as u16), PORT)
    }

    /// Its NodePort, TCP and UDP.
    pub fn node_port(self) -> u16 {
        30010 + self as u16
    }

    /// Its manifest.
    pub fn service(self) -> Service {
        let ips = Family::BOTH.map(|family| self.cluster_ip(family).ip());
        Proto::BOTH
            .into_iter()
            .fold(Service::new(self.name(), &ips), |service, proto| service.port(proto, PORT, POD_PORT, self.node_port()))
    }
}

/// A running scenario.
#[derive(Debug)]
pub struct Scenario {
    /// The agents of node 0 and node 1.
    pub agents: Vec<Agent>,
    /// The servers of `near` and `far`.
    pub servers: Vec<Traffic>,
    /// The folder both agents watch.
    pub manifests: Manifests,
    /// A pod on node 0 that serves nothing.
    pub client: Arc<Host>,
    /// The pod on node 0.
    pub near: Arc<Host>,
    /// The pod on node 1.
    pub far: Arc<Host>,
    /// The nodes.
    pub cluster: Cluster,
}

impl Scenario {
    /// Nodes, pods, manifests and agents that have programmed them. `flags` are further flags of `sluice run`.
    pub fn start(test: &str, spec: Spec, flags: &[&str]) -> Result<Self> {
        Self::start_on(Cluster::build(test, spec)?, flags)
    }

    /// The same on a wire that behaves like a physical one. The nodes know their neighbours: without, XDP leaves packets to tc.
    pub fn start_on_physical_wire(test: &str, spec: Spec, flags: &[&str]) -> Result<Self> {
        let cluster = Cluster::build(test, spec)?;
        cluster.make_wire_physical()?;
        let scenario = Self::start_on(cluster, flags)?;
        scenario.settle_neighbours()?;
        Ok(scenario)
    }

    fn settle_neighbours(&self) -> Result<()> {
        let nodes = self.cluster.nodes();
        for (index, node) in nodes.iter().enumerate() {
            let others = nodes.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, host)| host.as_ref());
            for neighbour in others.chain([self.cluster.outside(), &self.client, &self.near, &self.far]) {
                for family in Family::BOTH {
                    // Refused or not: the datagram had to be addressed.
                    node.dial(Proto::Udp, neighbour.at(family, POD_PORT))?;
                }
            }
        }
        Ok(())
    }

    fn start_on(cluster: Cluster, flags: &[&str]) -> Result<Self> {
        let (client, near, far) = (cluster.add_pod(0, "client")?, cluster.add_pod(0, "near")?, cluster.add_pod(1, "far")?);
        let servers = vec![near.serve(&[POD_PORT])?, far.serve(&[POD_PORT])?];
        let manifests = Manifests::create(&cluster.scratch())?;
        for node in cluster.nodes() {
            manifests
                .put(&format!("{}.yaml", node.name()), &node_yaml(node.name(), &Family::BOTH.map(|family| node.ip(family))))?;
        }
        let mut agents: Vec<Agent> =
            (0..cluster.nodes().len()).map(|node| Agent::for_node(&cluster, node, manifests.path(), flags)).collect();
        let scenario_pods = [(&near, NAMES[0]), (&far, NAMES[1])];
        for target in Target::ALL {
            write(&manifests, target, &endpoints(target, scenario_pods))?;
        }
        agents.iter_mut().try_for_each(Agent::launch)?;
        agents.iter_mut().try_for_each(Agent::wait_healthy)?;
        Ok(Self { agents, servers, manifests, client, near, far, cluster })
    }

    /// The pods that serve a target, by name.
    pub fn backends(&self, target: Target) -> Vec<&str> {
        endpoints(target, [(&self.near, NAMES[0]), (&self.far, NAMES[1])]).into_iter().map(|(pod, _)| pod.name()).collect()
    }

    /// A target's NodePort on a node.
    pub fn node_port(&self, node: usize, target: Target, family: Family) -> SocketAddr {
        self.cluster.node(node).at(family, target.node_port())
    }

    /// All that clients may dial: the ClusterIP of every Service, at any port (0), and its NodePort on both nodes.
    pub fn frontends(&self) -> Vec<SocketAddr> {
        let of = |target: Target, family| {
            let cluster_ip = SocketAddr::new(target.cluster_ip(family).ip(), 0);
            [cluster_ip, self.node_port(0, target, family), self.node_port(1, target, family)]
        };
        Target::ALL.into_iter().flat_map(|target| Family::BOTH.map(|family| of(target, family))).flatten().collect()
    }

    /// The pod that serves a target which has one.
    pub fn backend(&self, target: Target) -> &Host {
        if target == Target::Near { &self.near } else { &self.far }
    }

    /// Writes the slices of a Service: the pods that serve it, with the names of their nodes.
    pub fn set_endpoints(&self, target: Target, pods: &[(&Arc<Host>, &str)]) -> Result<()> {
        write(&self.manifests, target, pods)
    }

    /// The same, and whether each of them is ready.
    pub fn set_readiness(&self, target: Target, pods: &[(&Arc<Host>, &str, bool)]) -> Result<()> {
        write_readiness(&self.manifests, target, pods)
    }

    /// Puts a Service in force with these endpoints, on both nodes.
    pub fn put(&self, service: &Service, pods: &[(&Arc<Host>, &str)]) -> Result<()> {
        for family in Family::BOTH {
            let slice = pods.iter().fold(service.slice(family), |slice, (pod, node)| slice.endpoint(pod.ip(family), node));
            self.manifests.put_slice(&slice)?;
        }
        self.manifests.put_service(service)?;
        let name = format!("default/{}", service.name);
        self.agents.iter().try_for_each(|agent| {
            wait::until(SOON, "the Service in the tables", || {
                let text = agent.cli(&["backends", "--service", &name]).ok()?;
                let shown = |pod: &Host| Family::BOTH.iter().all(|&family| text.contains(&pod.ip(family).to_string()));
                let all = pods.iter().all(|(pod, _)| shown(pod));
                (all && text.matches(&format!(":{POD_PORT}")).count() == 4 * pods.len()).then_some(())
            })
        })
    }

    /// A client sends packets for these addresses to the first node.
    pub fn route_to_node(&self, client: &Host, addresses: &[&str]) -> Result<()> {
        for address in addresses {
            let family = Family::of(address.parse()?);
            let via = self.cluster.node(0).ip(family);
            let bits = if family == Family::V4 { 32 } else { 128 };
            client.netns().ip(&format!("route add {address}/{bits} via {via}"))?;
        }
        Ok(())
    }

    /// Whether a masqueraded packet of a node may carry this address: its uplink's, its overlay device's or the one that its
    /// route to the pods prefers.
    pub fn is_node_address(&self, node: usize, ip: IpAddr) -> bool {
        let host = self.cluster.node(node);
        let family = Family::of(ip);
        ip == host.ip(family)
            || ip == crate::cluster::overlay_ip(family, node)
            || ip == crate::cluster::gateway_ip(family, node)
    }
}

fn endpoints<'a>(target: Target, pods: [(&'a Arc<Host>, &'a str); 2]) -> Vec<(&'a Arc<Host>, &'a str)> {
    match target {
        Target::Near => vec![pods[0]],
        Target::Far => vec![pods[1]],
        Target::Both => pods.to_vec(),
        Target::Nobody => Vec::new(),
    }
}

fn write(manifests: &Manifests, target: Target, pods: &[(&Arc<Host>, &str)]) -> Result<()> {
    let pods: Vec<_> = pods.iter().map(|&(pod, node)| (pod, node, true)).collect();
    write_readiness(manifests, target, &pods)
}

fn write_readiness(manifests: &Manifests, target: Target, pods: &[(&Arc<Host>, &str, bool)]) -> Result<()> {
    let service = target.service();
    for family in Family::BOTH {
        let endpoint = |(pod, node, ready): &(&Arc<Host>, &str, bool)| Endpoint {
            ip: pod.ip(family),
            node: (*node).to_owned(),
            ready: Some(*ready),
        };
        manifests.put_slice(&pods.iter().map(endpoint).fold(service.slice(family), Slice::with))?;
    }
    manifests.put_service(&service)
}

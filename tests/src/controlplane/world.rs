//! A cluster whose agents follow a real API server, and one Service dialled on every way.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::controlplane::{Etcd, Pod};
use crate::manifests::Service;
use crate::traffic::{self, Load, LoadReport, Probe};
use crate::wait;
use crate::{Agent, Cluster, ControlPlane, Family, Host, PodNetwork, Proto, Spec, Traffic, cluster_ip};

/// A change may pass two controllers and two busy cores before it counts as lost.
pub const LIMIT: Duration = Duration::from_secs(20);
/// The NodePort of the Service.
pub const NODE_PORT: u16 = 30007;
/// Where pods listen.
pub const POD_PORT: u16 = 8080;

/// A cluster with an API server, a pod `near` on node 0, a pod `far` on node 1, and an agent on both nodes once it is launched.
pub struct World {
    /// An agent on each node.
    pub agents: Vec<Agent>,
    /// What they follow.
    pub plane: ControlPlane,
    _servers: Vec<Traffic>,
    /// A pod on node 0 that only dials.
    pub client: Arc<Host>,
    /// A pod on node 0 that answers.
    pub near: Arc<Host>,
    /// A pod on node 1 that answers.
    pub far: Arc<Host>,
    /// The nodes.
    pub cluster: Cluster,
}

/// Its own /var, in which the folder that is named first is the ServiceAccount's; then the other words.
const IN_A_POD: &str = "mount -t tmpfs none /var && mkdir -p /var/run/secrets/kubernetes.io && \
                        cp -r \"$1\" /var/run/secrets/kubernetes.io/serviceaccount && shift && exec \"$@\"";

impl World {
    /// Starts everything; agents have the rights and capabilities of deploy/ alone.
    pub fn start(test: &str) -> Result<Self> {
        let mut world = Self::without_agents(test, Etcd::Current)?;
        world.launch(&world.plane.agent_kubeconfig(), &[])?;
        Ok(world)
    }

    /// Starts everything but the agents, over an etcd of choice.
    pub fn without_agents(test: &str, etcd: Etcd) -> Result<Self> {
        let cluster = Cluster::build(test, Spec::new(PodNetwork::Routed))?;
        let (client, near, far) = (cluster.add_pod(0, "client")?, cluster.add_pod(0, "near")?, cluster.add_pod(1, "far")?);
        let servers = vec![near.serve(&[POD_PORT])?, far.serve(&[POD_PORT])?];
        let outside = cluster.outside();
        let plane = ControlPlane::start_over(etcd, outside.netns(), outside.ip(Family::V4), &cluster.scratch())?;
        plane.deploy()?;
        for node in cluster.nodes() {
            plane.add_node(node.name(), &Family::BOTH.map(|family| node.ip(family)))?;
        }
        Ok(Self { agents: Vec::new(), plane, _servers: servers, client, near, far, cluster })
    }

    /// Starts an agent on each node, with these credentials and further flags, and waits until they are healthy.
    pub fn launch(&mut self, kubeconfig: &Path, extra: &[&str]) -> Result<()> {
        self.begin(kubeconfig, extra)?;
        self.agents.iter_mut().try_for_each(Agent::wait_healthy)
    }

    /// The same, and returns at once.
    pub fn begin(&mut self, kubeconfig: &Path, extra: &[&str]) -> Result<()> {
        let source = ["--kubeconfig", &kubeconfig.display().to_string()];
        let nodes = 0..self.cluster.nodes().len();
        self.agents = nodes.map(|node| Agent::with_source(&self.cluster, node, &source, extra)).collect();
        let capabilities = self.plane.agent_capabilities()?;
        self.agents.iter_mut().for_each(|agent| agent.limit_capabilities(&capabilities));
        self.agents.iter_mut().try_for_each(Agent::launch)
    }

    /// Starts an agent on each node with nothing but what a kubelet gives a pod: the files of its ServiceAccount and two variables.
    pub fn launch_in_cluster(&mut self) -> Result<()> {
        let folder = self.plane.service_account()?.display().to_string();
        let (address, port) = self.plane.server();
        let capabilities = self.plane.agent_capabilities()?;
        let nodes = 0..self.cluster.nodes().len();
        self.agents = nodes.map(|node| Agent::with_source(&self.cluster, node, &[], &[])).collect();
        for agent in &mut self.agents {
            agent.limit_capabilities(&capabilities);
            agent.wrap(&["unshare", "--mount", "sh", "-c", IN_A_POD, "sh", &folder]);
            agent.set_env("KUBERNETES_SERVICE_HOST", &address.to_string());
            agent.set_env("KUBERNETES_SERVICE_PORT", &port.to_string());
            agent.launch()?;
        }
        self.agents.iter_mut().try_for_each(Agent::wait_healthy)
    }

    /// Creates the Service with both pods, and waits until they answer on every way.
    pub fn serve_web(&self) -> Result<()> {
        self.plane.add_service(&Self::service())?;
        let ips = self.pod_ips();
        Self::pods(&ips).iter().try_for_each(|pod| self.plane.add_pod(pod))?;
        self.wait_for_answers(&["far", "near"]).context("a new Service with two pods")
    }

    /// A Service `web` of both families.
    pub fn service() -> Service {
        let ips = Family::BOTH.map(|family| cluster_ip(family, 10));
        Service::new("web", &ips).port(Proto::Tcp, 80, POD_PORT, NODE_PORT)
    }

    /// Addresses of `near` and `far`.
    pub fn pod_ips(&self) -> [[IpAddr; 2]; 2] {
        [&self.near, &self.far].map(|pod| Family::BOTH.map(|family| pod.ip(family)))
    }

    /// `near` and `far` as the API knows them.
    pub fn pods(ips: &[[IpAddr; 2]; 2]) -> [Pod<'_>; 2] {
        let pod = |name, node, ips| Pod { name, app: "web", node, ips };
        [pod("near", "node1", &ips[0]), pod("far", "node2", &ips[1])]
    }

    /// Every way to the Service: who dials what.
    pub fn ways(&self) -> Vec<(&Host, SocketAddr)> {
        self.ways_to(10, NODE_PORT)
    }

    /// Every way to a Service, by the number of its ClusterIPs and its NodePort.
    pub fn ways_to(&self, number: u16, node_port: u16) -> Vec<(&Host, SocketAddr)> {
        let mut ways: Vec<(&Host, SocketAddr)> = Vec::new();
        for family in Family::BOTH {
            let service = SocketAddr::new(cluster_ip(family, number), 80);
            ways.extend([(&*self.client, service), (self.cluster.node(1), service)]);
            ways.extend([0, 1].map(|node| (self.cluster.outside(), self.cluster.node(node).at(family, node_port))));
        }
        ways
    }

    /// Waits until all of these pods, and no others, answer on every way.
    pub fn wait_for_answers(&self, wanted: &[&str]) -> Result<()> {
        self.ways().into_iter().try_for_each(|(from, to)| wait_for(from, to, wanted))
    }
}

/// Waits until all of these pods, and no others, answer this client.
pub fn wait_for(from: &Host, to: SocketAddr, wanted: &[&str]) -> Result<()> {
    let what = format!("answers to {} from {to} by {wanted:?}", from.name());
    wait::until(LIMIT, &what, || answerers(from, to).ok().filter(|found| found == wanted)).map(drop)
}

/// Who answers twenty connections, each named once.
///
/// # Errors
/// If any of them fails.
pub fn answerers(from: &Host, to: SocketAddr) -> Result<Vec<String>> {
    let outcomes = from.probe(Probe { until_failure: true, timeout_ms: 500, ..Probe::times(Proto::Tcp, to, 20) })?;
    let mut names = outcomes
        .into_iter()
        .map(|outcome| outcome.result.map(|answer| answer.by))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|failure| anyhow::anyhow!("{failure}"))?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// A hundred new connections a second.
pub fn load(to: SocketAddr) -> Load {
    Load::new(vec![traffic::Target::new(Proto::Tcp, to)], 100)
}

/// Ends loads none of whose connections may have failed.
pub fn lost_nothing(loads: Vec<Traffic>) -> Result<()> {
    for load in loads {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0 && report.requests() > 0, "{}", report.failures());
    }
    Ok(())
}

/// Nobody listens on a NodePort (S14): without its Service the node itself refuses, as it does where a server has ended.
pub fn wait_refused(from: &Host, to: SocketAddr) -> Result<()> {
    let refused = || {
        let outcome = from.dial(Proto::Tcp, to).ok()?;
        outcome.result.err().filter(|failure| failure.reason == "ECONNREFUSED")
    };
    wait::until(LIMIT, &format!("{to} to refuse"), refused).map(drop)
}

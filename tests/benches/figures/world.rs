//! The nodes between which connections are measured: one with Sluice, one with kube-proxy in nftables mode, one with no proxy, and
//! one that holds the remote backend, with none either.
//!
//! Invariant: every proxy has Services and pods of its own, alike to the port number; kube-proxy's come from an API server.

use std::process::Child;
use std::sync::Arc;

use anyhow::Result;
use sluice_tests::controlplane::{ControlPlane, KubeProxy, Pod};
use sluice_tests::manifests::{Service, node_yaml};
use sluice_tests::{Agent, Cluster, Family, Host, Manifests, PodNetwork, Proto, Spec, cluster_ip};

use super::load::{self, Lane};

/// Behind Services, and directly dialled, one for each lane of a race: no two lanes share a tuple.
const BEHIND: u16 = 8_000;
const DIRECT: [u16; 3] = [8_001, 8_002, 8_003];
const PORT: u16 = 80;
/// The Service with a local backend.
const NEAR: Front = Front { name: "near", number: 10, node_port: 30_010 };
/// The Service with a backend on another node.
const FAR: Front = Front { name: "far", number: 11, node_port: 30_011 };
/// The outside client's second address, which is reached over the bare hop.
const OVER_HOP: &str = "192.168.50.101";
/// A client's ports. A closed connection keeps its port for a minute; with the usual 28,000 a lane would spend its slots on the
/// search for a free one.
const PORTS: &str = "1024 65535";
const FAMILY: Family = Family::V4;

/// Node numbers by what runs there.
const SLUICE: usize = 0;
const BARE: usize = 1;
const REMOTE: usize = 2;
const KUBE_PROXY: usize = 3;

struct Front {
    name: &'static str,
    /// Of its ClusterIP.
    number: u16,
    node_port: u16,
}

impl Front {
    fn service(&self) -> Service {
        Service::new(self.name, &[cluster_ip(FAMILY, self.number)]).port(Proto::Tcp, PORT, BEHIND, self.node_port)
    }
}

/// All nodes, their pods and what runs on them.
pub struct World {
    /// On the node with Sluice.
    pub sluice: Pods,
    /// On the node without a proxy.
    pub bare: Pods,
    /// On the node with kube-proxy.
    pub kube_proxy: Pods,
    far: Arc<Host>,
    // Dropped in this order: clients before servers, all before the cluster.
    servers: Vec<Child>,
    _agent: Agent,
    _kube_proxy: KubeProxy,
    _plane: ControlPlane,
    cluster: Cluster,
}

/// A node's two pods.
pub struct Pods {
    client: Arc<Host>,
    server: Arc<Host>,
}

impl Pods {
    fn add(cluster: &Cluster, node: usize, name: &str) -> Result<Self> {
        let pod = |role: &str| cluster.add_pod(node, &format!("{name}-{role}"));
        Ok(Self { client: pod("client")?, server: pod("server")? })
    }

    /// From one to the other. Each lane of a race is another `turn`, from 0.
    pub fn direct(&self, turn: usize) -> Lane<'_> {
        Lane { from: &self.client, to: self.server.at(FAMILY, DIRECT[turn]) }
    }

    /// The same through the ClusterIP.
    pub fn service(&self) -> Lane<'_> {
        Lane { from: &self.client, to: (cluster_ip(FAMILY, NEAR.number), PORT).into() }
    }
}

/// Which proxy a NodePort belongs to.
#[derive(Clone, Copy)]
pub enum Proxy {
    Sluice,
    KubeProxy,
}

impl World {
    /// Builds it; every way through it is open when this returns.
    pub fn build() -> Result<Self> {
        let cluster = Cluster::build("bench-net", Spec::new(PodNetwork::Routed).nodes(4))?;
        let sluice = Pods::add(&cluster, SLUICE, "sluice")?;
        let bare = Pods::add(&cluster, BARE, "bare")?;
        let kube_proxy = Pods::add(&cluster, KUBE_PROXY, "kube")?;
        let far = cluster.add_pod(REMOTE, "far")?;
        lead_over_hop(&cluster, &far)?;
        for client in [&*sluice.client, &bare.client, &kube_proxy.client, cluster.outside()] {
            client.netns().sysctl("net/ipv4/ip_local_port_range", PORTS)?;
        }
        let ports = [&DIRECT[..], &[BEHIND]].concat();
        let servers = [&sluice.server, &bare.server, &kube_proxy.server, &far].map(|host| load::serve(host, &ports));
        let servers = servers.into_iter().collect::<Result<_>>()?;
        let agent = start_sluice(&cluster, &sluice.server, &far)?;
        let (plane, proxy) = start_kube_proxy(&cluster, &kube_proxy.server, &far)?;
        Ok(Self { sluice, bare, kube_proxy, far, servers, _agent: agent, _kube_proxy: proxy, _plane: plane, cluster })
    }

    /// From outside to one of these pods, over its node's own forwarding.
    pub fn to_pod(&self, pods: &Pods, turn: usize) -> Lane<'_> {
        Lane { from: self.cluster.outside(), to: pods.server.at(FAMILY, DIRECT[turn]) }
    }

    /// From outside to the remote pod, over one node more in both directions.
    pub fn over_hop(&self, turn: usize) -> Lane<'_> {
        Lane { from: self.cluster.outside(), to: self.far.at(FAMILY, DIRECT[turn]) }
    }

    /// From outside to the NodePort with a local backend.
    pub fn near(&self, proxy: Proxy) -> Lane<'_> {
        self.node_port(proxy, &NEAR)
    }

    /// From outside to the NodePort whose backend is the remote pod.
    pub fn far(&self, proxy: Proxy) -> Lane<'_> {
        self.node_port(proxy, &FAR)
    }

    fn node_port(&self, proxy: Proxy, front: &Front) -> Lane<'_> {
        let node = match proxy {
            Proxy::Sluice => SLUICE,
            Proxy::KubeProxy => KUBE_PROXY,
        };
        Lane { from: self.cluster.outside(), to: self.cluster.node(node).at(FAMILY, front.node_port) }
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

/// The remote pod is reached over the bare node in both directions, by a second address of the outside client.
fn lead_over_hop(cluster: &Cluster, far: &Host) -> Result<()> {
    let hop = cluster.node(BARE);
    for key in ["all", "eth0"] {
        hop.netns().sysctl(&format!("net/ipv4/conf/{key}/send_redirects"), "0")?;
    }
    let via = hop.ip(FAMILY);
    cluster.outside().netns().ip(&format!(
        "addr add {OVER_HOP}/24 dev eth0\n\
         route add {}/32 via {via} src {OVER_HOP}\n",
        far.ip(FAMILY)
    ))?;
    cluster.node(REMOTE).netns().ip(&format!("route add {OVER_HOP}/32 via {via}\n"))
}

fn start_sluice(cluster: &Cluster, near: &Host, far: &Host) -> Result<Agent> {
    let manifests = Manifests::create(&cluster.scratch())?;
    for node in cluster.nodes() {
        manifests.put(&format!("{}.yaml", node.name()), &node_yaml(node.name(), &[node.ip(FAMILY)]))?;
    }
    for (front, pod, node) in [(NEAR, near, SLUICE), (FAR, far, REMOTE)] {
        let service = front.service();
        manifests.put_slice(&service.slice(FAMILY).endpoint(pod.ip(FAMILY), cluster.node(node).name()))?;
        manifests.put_service(&service)?;
    }
    let mut agent = Agent::for_node(cluster, SLUICE, manifests.path(), &[]);
    agent.start()?;
    Ok(agent)
}

/// The API server runs on the remote backend's node, where no figure sees its few packets.
fn start_kube_proxy(cluster: &Cluster, near: &Host, far: &Host) -> Result<(ControlPlane, KubeProxy)> {
    let (node, host) = (cluster.node(KUBE_PROXY), cluster.node(REMOTE));
    let plane = ControlPlane::start(host.netns(), host.ip(FAMILY), &cluster.scratch())?;
    for (front, pod, place) in [(NEAR, near, node), (FAR, far, host)] {
        plane.add_node(place.name(), &[place.ip(FAMILY)])?;
        plane.add_service(&front.service())?;
        plane.add_pod(&Pod { name: front.name, app: front.name, node: place.name(), ips: &[pod.ip(FAMILY)] })?;
    }
    let mut proxy = KubeProxy::start(node, &plane, &cluster.scratch())?;
    for (front, pod) in [(NEAR, near), (FAR, far)] {
        proxy.wait_for(front.node_port, pod.at(FAMILY, BEHIND))?;
    }
    Ok((plane, proxy))
}

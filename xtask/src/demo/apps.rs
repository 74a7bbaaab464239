//! The two apps of the story: pods with servers, and the manifests that describe them.
//!
//! Invariant: the slices of hello-k8s list exactly the members, with the readiness they have here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use sluice_tests::manifests::{Endpoint, Service, node_yaml};
use sluice_tests::traffic::App;
use sluice_tests::wait::monotonic_ns;
use sluice_tests::{Cluster, Family, Host, Manifests, Proto, Traffic, cluster_ip};

/// hello-k8s: its port on the ClusterIP, the NodePort, and the port of the pods.
pub const HELLO: [u16; 3] = [80, 30007, 8080];
/// The NodePort of the voting page.
pub const VOTE: u16 = 30035;
/// The NodePort of the page with the result.
pub const RESULT: u16 = 31061;

const REDIS: u16 = 6379;
const DATABASE: u16 = 5432;

/// One endpoint of hello-k8s.
#[derive(Debug)]
pub struct Member {
    /// The pod.
    pub pod: Arc<Host>,
    node: usize,
    ready: bool,
}

/// All pods of the story, and the folder of manifests.
#[derive(Debug)]
pub struct Apps<'a> {
    cluster: &'a Cluster,
    manifests: Manifests,
    servers: BTreeMap<String, Traffic>,
    hello: Vec<Member>,
}

impl<'a> Apps<'a> {
    /// A folder with the two Node objects and nothing else.
    pub fn new(cluster: &'a Cluster) -> Result<Self> {
        let manifests = Manifests::create(&cluster.scratch())?;
        for node in cluster.nodes() {
            let addresses = Family::BOTH.map(|family| node.ip(family));
            manifests.put(&format!("{}.yaml", node.name()), &node_yaml(node.name(), &addresses))?;
        }
        Ok(Self { cluster, manifests, servers: BTreeMap::new(), hello: Vec::new() })
    }

    /// The folder of manifests.
    pub fn manifests(&self) -> &Manifests {
        &self.manifests
    }

    /// hello-k8s with one pod on each node. Returns when the last manifest was written (CLOCK_MONOTONIC, ns).
    pub fn deploy_hello(&mut self) -> Result<u64> {
        self.add_hello(0, "hello-1")?;
        self.add_hello(1, "hello-2")?;
        self.manifests.put_service(&hello())?;
        self.publish()
    }

    /// Starts another pod of hello-k8s; it takes part from the next [`Apps::publish`].
    pub fn add_hello(&mut self, node: usize, name: &str) -> Result<()> {
        let pod = self.start(node, name, HELLO[2], App::Hello)?;
        self.hello.push(Member { pod, node, ready: true });
        Ok(())
    }

    /// Takes a pod out of the members; it lives on until [`Apps::kill`].
    pub fn retire(&mut self, name: &str) -> Option<Arc<Host>> {
        let place = self.hello.iter().position(|member| member.pod.name() == name)?;
        Some(self.hello.remove(place).pod)
    }

    /// Kills a pod's process; its network stays for a while, as a sandbox does.
    pub fn crash(&mut self, name: &str) {
        self.servers.remove(name);
    }

    /// Kills a pod, its connections and its network.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        self.servers.remove(name);
        self.cluster.remove_pod(name)
    }

    /// Says whether a pod is ready; it holds from the next [`Apps::publish`].
    pub fn set_ready(&mut self, name: &str, ready: bool) {
        for member in self.hello.iter_mut().filter(|member| member.pod.name() == name) {
            member.ready = ready;
        }
    }

    /// The pods of hello-k8s.
    pub fn hello(&self) -> &[Member] {
        &self.hello
    }

    /// Writes the slices of hello-k8s. Returns when the last was written (CLOCK_MONOTONIC, ns).
    pub fn publish(&self) -> Result<u64> {
        let service = hello();
        for family in Family::BOTH {
            let slice = self.hello.iter().fold(service.slice(family), |slice, member| {
                let node = self.cluster.node(member.node).name().to_owned();
                slice.with(Endpoint { ip: member.pod.ip(family), node, ready: Some(member.ready) })
            });
            self.manifests.put_slice(&slice)?;
        }
        Ok(monotonic_ns())
    }

    /// The voting app: two pods that take votes, one that shows the result, one that carries votes from redis to db.
    pub fn deploy_vote(&mut self) -> Result<()> {
        let (redis, database) = (store_address(3, REDIS), store_address(4, DATABASE));
        let parts = [
            (simple("redis", 3).port(Proto::Tcp, REDIS, REDIS, 0), vec![(0, "redis-1", App::Store)]),
            (simple("db", 4).port(Proto::Tcp, DATABASE, DATABASE, 0), vec![(1, "db-1", App::Store)]),
            (
                simple("vote", 1).port(Proto::Tcp, 5000, 8080, VOTE),
                vec![(0, "vote-1", App::Vote { store: redis }), (1, "vote-2", App::Vote { store: redis })],
            ),
            (simple("result", 2).port(Proto::Tcp, 5001, 8080, RESULT), vec![(1, "result-1", App::Tally { store: database })]),
            (
                simple("worker", 5).port(Proto::Tcp, 5002, 8080, 0),
                vec![(0, "worker-1", App::Worker { from: redis, to: database })],
            ),
        ];
        for (service, pods) in parts {
            let port = service.ports.first().context("a Service without ports")?.target;
            let mut slices = Family::BOTH.map(|family| service.slice(family));
            for (node, name, app) in pods {
                let pod = self.start(node, name, port, app)?;
                let node = self.cluster.node(node).name();
                slices = slices.map(|slice| {
                    let family = slice.family();
                    slice.endpoint(pod.ip(family), node)
                });
            }
            self.manifests.put_service(&service)?;
            slices.iter().try_for_each(|slice| self.manifests.put_slice(slice))?;
        }
        Ok(())
    }

    /// Lets the servers live on when this is gone.
    pub fn leave(self) {
        self.servers.into_values().for_each(Traffic::leave);
    }

    fn start(&mut self, node: usize, name: &str, port: u16, app: App) -> Result<Arc<Host>> {
        let pod = self.cluster.add_pod(node, name)?;
        self.servers.insert(name.to_owned(), pod.serve_app(&[port], app)?);
        Ok(pod)
    }
}

/// The ClusterIP of hello-k8s.
pub fn hello_address(family: Family) -> SocketAddr {
    SocketAddr::new(cluster_ip(family, 10), HELLO[0])
}

fn hello() -> Service {
    let [port, node_port, target] = HELLO;
    Service::new("hello-k8s", &Family::BOTH.map(|family| cluster_ip(family, 10))).port(Proto::Tcp, port, target, node_port)
}

fn simple(name: &str, number: u16) -> Service {
    Service::new(name, &Family::BOTH.map(|family| cluster_ip(family, 20 + number)))
}

fn store_address(number: u16, port: u16) -> SocketAddr {
    SocketAddr::new(cluster_ip(Family::V4, 20 + number), port)
}

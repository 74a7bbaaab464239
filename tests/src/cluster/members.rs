//! Nodes, pods and the outside client of one cluster, from its making to its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::host::Host;
use super::spec::Spec;
use super::{plan, pods, wire};
use crate::cgroup::Cgroup;
use crate::netns::Netns;
use crate::rig::Rig;

/// A running cluster. Dropping it removes everything.
#[derive(Debug)]
pub struct Cluster {
    spec: Spec,
    wire: Netns,
    nodes: Vec<Arc<Host>>,
    node_cgroups: Vec<Cgroup>,
    outside: Arc<Host>,
    pods: Mutex<Pods>,
    rig: Rig,
}

#[derive(Debug, Default)]
struct Pods {
    by_name: BTreeMap<String, (usize, Arc<Host>)>,
    made: u16,
}

impl Cluster {
    /// Builds nodes, wire and outside client. `test` names everything on the machine: use the test's own name, short,
    /// with hyphens.
    pub fn build(test: &str, spec: Spec) -> Result<Self> {
        let rig = Rig::new(test)?;
        let wire = wire::build(&rig, &spec)?;
        let mut nodes = Vec::new();
        let mut node_cgroups = Vec::new();
        for index in 0..spec.nodes {
            let cgroup = rig.cgroup().child(&plan::node_name(index))?;
            nodes.push(Arc::new(wire::add_node(&rig, &wire, &spec, index, cgroup.child("host")?)?));
            node_cgroups.push(cgroup);
        }
        let outside = Arc::new(wire::add_outside(&rig, &wire, &spec, rig.cgroup().child("outside")?)?);
        for (index, node) in nodes.iter().enumerate() {
            pods::prepare_node(node, index, &spec).with_context(|| format!("pod network of {}", node.name()))?;
        }
        Ok(Self { spec, wire, nodes, node_cgroups, outside, pods: Mutex::default(), rig })
    }

    /// What it was built from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// A node, counted from 0: its host network, in the cgroup of its daemons. Its name is that of its Node object.
    pub fn node(&self, index: usize) -> &Host {
        &self.nodes[index]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Arc<Host>] {
        &self.nodes
    }

    /// The cgroup folder that holds a node's daemons and pods, and nothing else: what its agent attaches to.
    pub fn node_cgroup(&self, index: usize) -> &Cgroup {
        &self.node_cgroups[index]
    }

    /// A node for processes that are in no cgroup of its own: no socket hook sees what they dial.
    pub fn apart(&self, index: usize) -> Result<Host> {
        Ok(self.nodes[index].apart(self.rig.cgroup().child("apart")?))
    }

    /// The client outside of the cluster: it runs below no node's cgroup.
    pub fn outside(&self) -> &Host {
        &self.outside
    }

    /// The namespace of the wire: a bridge `wire` with a port for each node (`node1`, …) and, unless the spec puts a
    /// router between, for the outside client (`outside`).
    pub fn wire(&self) -> &Netns {
        &self.wire
    }

    /// A folder for the files of the test.
    pub fn scratch(&self) -> PathBuf {
        self.rig.scratch()
    }

    /// The pin folder of a node's agent.
    pub fn pins(&self, index: usize) -> PathBuf {
        self.rig.pins(&plan::node_name(index))
    }

    /// Makes a pod on a node, with an address that no pod of this cluster had before.
    pub fn add_pod(&self, node: usize, name: &str) -> Result<Arc<Host>> {
        let number = {
            let mut pods = self.lock();
            pods.made += 1;
            pods.made
        };
        self.add_pod_at(node, name, number)
    }

    /// Makes a pod with the host number `number` in its node's pod subnet: the address of a pod that is gone can be
    /// given to its successor.
    pub fn add_pod_at(&self, node: usize, name: &str, number: u16) -> Result<Arc<Host>> {
        let cgroup = self.node_cgroups[node].child(&format!("pod-{name}"))?;
        let netns = self.rig.netns(name)?;
        let new = pods::NewPod { name, index: node, number, netns, cgroup };
        let pod = pods::add(&self.nodes[node], &self.spec, new);
        let pod = Arc::new(pod.with_context(|| format!("pod {name}"))?);
        self.lock().by_name.insert(name.to_owned(), (node, Arc::clone(&pod)));
        Ok(pod)
    }

    /// Kills a pod: its processes first, then its network.
    pub fn remove_pod(&self, name: &str) -> Result<()> {
        let (_, pod) = self.lock().by_name.remove(name).with_context(|| format!("no pod {name}"))?;
        pod.cgroup().remove()?;
        // A namespace goes in the background; its device must be gone before a successor gets the name.
        let (node, device) = pod.peer();
        node.ip(&format!("link del {device}\n"))?;
        crate::netns::ip(&["netns", "del", pod.netns().name()])?;
        Ok(())
    }

    /// A pod by its name.
    pub fn pod(&self, name: &str) -> Result<Arc<Host>> {
        self.lock().by_name.get(name).map(|(_, pod)| Arc::clone(pod)).with_context(|| format!("no pod {name}"))
    }

    /// Makes the devices between the nodes behave like a physical wire: every frame that arrives from it is complete (the
    /// wire's own devices have transmit checksum and segmentation offload off, for good), and frames that XDP sends arrive (the
    /// far end runs an XDP pass program). The hosts' own offload starts off too; [`Host::offload_on`] makes them leave to the
    /// wire what hosts leave to their cards.
    pub fn make_wire_physical(&self) -> Result<()> {
        let pins = self.rig.pins("wire");
        for host in self.nodes.iter().chain([&self.outside]) {
            host.offload_off()?;
            host.get_complete_frames()?;
            let (netns, device) = host.peer();
            crate::xdp_pass::attach(netns, device, &pins)?;
        }
        Ok(())
    }

    /// Leaves the cluster up when the process ends, until [`crate::reap`] is called with the test's name.
    pub fn keep(self) -> Result<()> {
        self.rig.keep()
    }

    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The three kinds of pod network: what a node needs once, and what each pod adds.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::host::Host;
use super::plan::{self, pod_cidr};
use super::spec::{PodNetwork, Spec};
use crate::cgroup::Cgroup;
use crate::net::Family;
use crate::netns::Netns;

/// The port and VXLAN number that flannel uses.
const VXLAN: &str = "id 1 dstport 8472 nolearning";

/// The same on every node: no two of these bridges share a segment.
const BRIDGE_MAC: &str = "02:00:00:00:00:01";

/// Sets up a node's end of the pod network and its routes to the other nodes' pods.
pub fn prepare_node(node: &Host, index: usize, spec: &Spec) -> Result<()> {
    let others: Vec<usize> = (0..spec.nodes).filter(|&other| other != index).collect();
    if spec.network != PodNetwork::Routed {
        add_bridge(node, index, spec)?;
    }
    if spec.network == PodNetwork::Overlay {
        return add_overlay(node, index, &others);
    }
    let mut lines = String::new();
    for other in others {
        let (v4, v6) = plan::node(other);
        lines += &format!(
            "route add {} via {v4}\nroute add {} via {v6}\n",
            pod_cidr(Family::V4, other),
            pod_cidr(Family::V6, other)
        );
    }
    node.netns().ip(&lines)
}

/// A pod to be.
pub struct NewPod<'a> {
    pub name: &'a str,
    /// Its node, counted from 0.
    pub index: usize,
    /// Its number within the node.
    pub number: u16,
    pub netns: Netns,
    pub cgroup: Cgroup,
}

/// Makes a pod's device, addresses and routes.
pub fn add(node: &Host, spec: &Spec, pod: NewPod<'_>) -> Result<Host> {
    let NewPod { name, index, number, netns, cgroup } = pod;
    let device = format!("veth{number}");
    let mtu = spec.network.pod_mtu();
    node.netns().ip(&format!("link add {device} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {}\n", netns.name()))?;
    let pod = plan::pod(index, number);
    let gateway = plan::pod_gateway(index);
    if spec.network == PodNetwork::Routed {
        node.netns().ip(&format!(
            "addr add {}/32 dev {device}\naddr add {}/128 dev {device} nodad\nlink set {device} up\n\
             route add {}/32 dev {device}\nroute add {}/128 dev {device}\n",
            gateway.0, gateway.1, pod.0, pod.1
        ))?;
        netns.ip(&format!(
            "addr add {}/32 dev eth0\naddr add {}/128 dev eth0 nodad\nlink set eth0 up\n\
             route add {}/32 dev eth0 scope link\nroute add {}/128 dev eth0\n",
            pod.0, pod.1, gateway.0, gateway.1
        ))?;
    } else {
        node.netns().ip(&format!(
            "link set {device} master cni0\nlink set {device} type bridge_slave hairpin on\nlink set {device} up\n"
        ))?;
        netns.ip(&format!("addr add {}/24 dev eth0\naddr add {}/64 dev eth0 nodad\nlink set eth0 up\n", pod.0, pod.1))?;
    }
    netns.ip(&format!("route add default via {} dev eth0\nroute add default via {} dev eth0\n", gateway.0, gateway.1))?;
    Ok(Host::new(name, netns, cgroup, pod, (node.netns().clone(), device)))
}

fn add_bridge(node: &Host, index: usize, spec: &Spec) -> Result<()> {
    let (v4, v6) = plan::pod_gateway(index);
    // A bridge without an address of its own takes the lowest of its ports', and loses its neighbours with every new port.
    node.netns().ip(&format!(
        "link add cni0 address {BRIDGE_MAC} mtu {} type bridge mcast_snooping 0\n\
         addr add {v4}/24 dev cni0\naddr add {v6}/64 dev cni0 nodad\nlink set cni0 up\n",
        spec.network.pod_mtu()
    ))
}

fn add_overlay(node: &Host, index: usize, others: &[usize]) -> Result<()> {
    let (local_v4, local_v6) = plan::node(index);
    let (v4, v6) = plan::overlay(index);
    node.netns().ip(&format!(
        "link add flannel.1 mtu 1450 address {} type vxlan {VXLAN} local {local_v4} dev eth0\n\
         link add flannel-v6.1 mtu 1430 address {} type vxlan {VXLAN} local {local_v6} dev eth0\n\
         addr add {v4}/32 dev flannel.1\naddr add {v6}/128 dev flannel-v6.1 nodad\n\
         link set flannel.1 up\nlink set flannel-v6.1 up\n",
        plan::overlay_mac(Family::V4, index),
        plan::overlay_mac(Family::V6, index),
    ))?;
    for &other in others {
        let (remote_v4, remote_v6) = plan::node(other);
        let (v4, v6) = plan::overlay(other);
        let (mac_v4, mac_v6) = (plan::overlay_mac(Family::V4, other), plan::overlay_mac(Family::V6, other));
        node.netns().ip(&format!(
            "neigh add {v4} lladdr {mac_v4} dev flannel.1 nud permanent\n\
             neigh add {v6} lladdr {mac_v6} dev flannel-v6.1 nud permanent\n\
             route add {} via {v4} dev flannel.1 onlink\n\
             route add {} via {v6} dev flannel-v6.1 onlink\n",
            pod_cidr(Family::V4, other),
            pod_cidr(Family::V6, other),
        ))?;
        forward_to(node, &mac_v4, "flannel.1", &remote_v4.to_string())?;
        forward_to(node, &mac_v6, "flannel-v6.1", &remote_v6.to_string())?;
    }
    Ok(())
}

fn forward_to(node: &Host, mac: &str, device: &str, remote: &str) -> Result<()> {
    let output = Command::new("bridge")
        .args(["-n", node.netns().name(), "fdb", "append", mac, "dev", device, "dst", remote])
        .output()
        .context("start bridge: install iproute2")?;
    if !output.status.success() {
        bail!("bridge fdb append on {}: {}", node.name(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

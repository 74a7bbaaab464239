//! What joins the nodes: a bridge in a namespace of its own, which is also their gateway and, if the spec says so, the
//! router to the outside client.

use anyhow::Result;

use super::host::Host;
use super::plan::{self, Pair, SERVICE_CIDR_V4, SERVICE_CIDR_V6, pod_cidr};
use super::spec::{Spec, Wire};
use crate::cgroup::Cgroup;
use crate::net::Family;
use crate::netns::Netns;
use crate::rig::Rig;

/// The gateway's hardware address, which must not change when a port joins.
const WIRE_MAC: &str = "02:00:00:00:00:02";

/// Makes the namespace with its bridge and gateway addresses.
pub fn build(rig: &Rig, spec: &Spec) -> Result<Netns> {
    let wire = rig.netns("wire")?;
    forward(&wire, spec)?;
    let (v4, v6) = plan::gateway();
    wire.ip(&format!(
        "link add wire address {WIRE_MAC} type bridge mcast_snooping 0\n\
         link set wire up\n\
         addr add {v4}/24 dev wire\n\
         addr add {v6}/64 dev wire nodad\n"
    ))?;
    let to_pods = routes(spec, plan::node)?;
    wire.ip(&to_pods)?;
    Ok(wire)
}

/// Makes a node with its uplink on the bridge.
pub fn add_node(rig: &Rig, wire: &Netns, spec: &Spec, index: usize, cgroup: Cgroup) -> Result<Host> {
    let name = plan::node_name(index);
    let netns = rig.netns(&name)?;
    forward(&netns, spec)?;
    plug(wire, &netns, &name)?;
    address(&netns, plan::node(index), plan::gateway())?;
    Ok(Host::new(&name, netns, cgroup, plan::node(index), (wire.clone(), name.clone())))
}

/// Makes the outside client, with routes to pods and to ClusterIPs as a router of the site would announce them.
pub fn add_outside(rig: &Rig, wire: &Netns, spec: &Spec, cgroup: Cgroup) -> Result<Host> {
    let netns = rig.netns("outside")?;
    let addresses = match spec.wire {
        Wire::Segment => {
            plug(wire, &netns, "outside")?;
            address(&netns, plan::outside_on_segment(), plan::gateway())?;
            netns.ip(&routes(spec, plan::node)?)?;
            plan::outside_on_segment()
        }
        Wire::Router => {
            let (v4, v6) = plan::router_outside();
            wire.ip(&format!(
                "link add outside type veth peer name eth0 netns {}\n\
                 link set outside up\n\
                 addr add {v4}/24 dev outside\n\
                 addr add {v6}/64 dev outside nodad\n",
                netns.name()
            ))?;
            address(&netns, plan::outside_behind_router(), plan::router_outside())?;
            plan::outside_behind_router()
        }
    };
    Ok(Host::new("outside", netns, cgroup, addresses, (wire.clone(), "outside".to_owned())))
}

fn forward(netns: &Netns, spec: &Spec) -> Result<()> {
    netns.sysctl("net/ipv4/ip_forward", "1")?;
    netns.sysctl("net/ipv6/conf/all/forwarding", "1")?;
    for key in ["all", "default"] {
        netns.sysctl(&format!("net/ipv4/conf/{key}/rp_filter"), &spec.rp_filter.to_string())?;
    }
    Ok(())
}

fn plug(wire: &Netns, netns: &Netns, port: &str) -> Result<()> {
    wire.ip(&format!(
        "link add {port} type veth peer name eth0 netns {}\n\
         link set {port} master wire\n\
         link set {port} up\n",
        netns.name()
    ))
}

fn address(netns: &Netns, (v4, v6): Pair, (gateway_v4, gateway_v6): Pair) -> Result<()> {
    netns.ip(&format!(
        "addr add {v4}/24 dev eth0\n\
         addr add {v6}/64 dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via {gateway_v4}\n\
         route add default via {gateway_v6}\n"
    ))
}

/// Routes to every node's pods over that node, and to ClusterIPs over the first one.
fn routes(spec: &Spec, via: impl Fn(usize) -> Pair) -> Result<String> {
    let mut lines = String::new();
    for node in 0..spec.nodes {
        let (v4, v6) = via(node);
        lines += &format!("route add {} via {v4}\n", pod_cidr(Family::V4, node));
        lines += &format!("route add {} via {v6}\n", pod_cidr(Family::V6, node));
    }
    let (v4, v6) = via(0);
    lines += &format!("route add {SERVICE_CIDR_V4} via {v4}\nroute add {SERVICE_CIDR_V6} via {v6}\n");
    Ok(lines)
}

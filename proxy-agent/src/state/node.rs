//! This node's Node object as facts.

use super::ip::{parse_cidr, parse_ip};
use super::rejection::RejectReason;
use crate::watch::objects;
use ipnet::IpNet;
use std::net::IpAddr;

/// A taint with this key means that the node is about to go (S51).
const LEAVING: &str = "ToBeDeletedByClusterAutoscaler";

/// What the Node object says; by default that it was not seen yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// Its addresses: internal ones, then external ones. They stay when the object goes.
    pub addresses: Vec<IpAddr>,
    /// Its zone (S19).
    pub zone: Option<Box<str>>,
    /// The addresses of its pods, in the object's order (S38).
    pub pod_cidrs: Vec<IpNet>,
    /// Whether the object is there.
    pub exists: bool,
    /// Whether load balancers may send traffic here (S51): true until the object was seen.
    pub eligible: bool,
}

/// The label that names a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";

impl Default for NodeFacts {
    fn default() -> Self {
        Self { addresses: Vec::new(), zone: None, pod_cidrs: Vec::new(), exists: false, eligible: true }
    }
}

impl NodeFacts {
    /// The node's primary addresses: the first of each family, as the kubelet has it.
    pub fn primary(&self) -> Vec<IpAddr> {
        let v4 = self.addresses.iter().find(|ip| ip.is_ipv4());
        let v6 = self.addresses.iter().find(|ip| ip.is_ipv6());
        v4.into_iter().chain(v6).copied().collect()
    }

    /// The facts once the object is gone.
    #[must_use]
    pub fn gone(&self) -> Self {
        Self { zone: None, exists: false, eligible: false, ..self.clone() }
    }
}

/// What the object says, and what of it was left out.
pub fn node(object: &objects::Node, rejected: &mut Vec<RejectReason>) -> NodeFacts {
    let mut addresses = Vec::new();
    for wanted in ["InternalIP", "ExternalIP"] {
        for item in object.status.addresses.iter().filter(|item| item.address_type == wanted) {
            match parse_ip(&item.address) {
                Some(address) => addresses.push(address),
                None => rejected.push(RejectReason::NodeAddress { text: item.address.clone() }),
            }
        }
    }
    let mut pod_cidrs = Vec::new();
    for text in &object.spec.pod_cidrs {
        match parse_cidr(text) {
            Some(cidr) => pod_cidrs.push(cidr),
            None => rejected.push(RejectReason::PodCidr { text: text.clone() }),
        }
    }
    let leaving = object.metadata.deletion_timestamp.is_some() || object.spec.taints.iter().any(|taint| taint.key == LEAVING);
    let zone = object.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)).filter(|zone| !zone.is_empty());
    NodeFacts { addresses, zone: zone.map(|zone| zone.as_str().into()), pod_cidrs, exists: true, eligible: !leaving }
}

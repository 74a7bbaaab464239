//! This node's Node object as facts.

use super::ip::{parse_cidr, parse_ip};
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

/// What the object says.
pub fn node(object: &objects::Node) -> NodeFacts {
    let of_type = |wanted: &'static str| {
        let of_type = object.status.addresses.iter().filter(move |item| item.address_type == wanted);
        of_type.filter_map(|item| parse_ip(&item.address))
    };
    let leaving = object.metadata.deletion_timestamp.is_some() || object.spec.taints.iter().any(|taint| taint.key == LEAVING);
    let zone = object.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE)).filter(|zone| !zone.is_empty());
    NodeFacts {
        addresses: of_type("InternalIP").chain(of_type("ExternalIP")).collect(),
        zone: zone.map(|zone| zone.as_str().into()),
        pod_cidrs: object.spec.pod_cidrs.iter().filter_map(|text| parse_cidr(text)).collect(),
        exists: true,
        eligible: !leaving,
    }
}

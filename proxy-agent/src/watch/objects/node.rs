//! Node (v1).

use super::meta::{resource, slim};
use super::null_as_default;
use kube::core::ObjectMeta;
use serde::Deserialize;

/// A Node.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Node {
    /// Who it is.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// What the cluster gave it.
    #[serde(deserialize_with = "null_as_default")]
    pub spec: NodeSpec,
    /// What its kubelet reports.
    #[serde(deserialize_with = "null_as_default")]
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct NodeSpec {
    /// Its taints.
    #[serde(deserialize_with = "null_as_default")]
    pub taints: Vec<Taint>,
    /// The addresses of its pods.
    #[serde(rename = "podCIDRs", deserialize_with = "null_as_default")]
    pub pod_cidrs: Vec<String>,
}

/// A taint of a Node.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Taint {
    /// Its key.
    #[serde(deserialize_with = "null_as_default")]
    pub key: String,
}

/// `status` of a Node.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct NodeStatus {
    /// Its addresses and names.
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Vec<NodeAddress>,
}

/// An address or a name of a Node.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct NodeAddress {
    /// InternalIP, ExternalIP, Hostname and others.
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    pub address_type: String,
    /// The address or name.
    #[serde(deserialize_with = "null_as_default")]
    pub address: String,
}

resource!(Node, "Node", "", "nodes", kube::core::ClusterResourceScope);

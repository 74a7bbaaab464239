//! EndpointSlice (discovery.k8s.io/v1).

use super::meta::{TRIGGER_TIME, resource, slim};
use super::null_as_default;
use jiff::Timestamp;
use kube::core::ObjectMeta;
use proxy_common::abi::Family;
use serde::Deserialize;

/// An EndpointSlice.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Who it is.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// IPv4, IPv6 or FQDN.
    #[serde(deserialize_with = "null_as_default")]
    pub address_type: String,
    /// The endpoints.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Vec<Endpoint>,
    /// The ports of every endpoint.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Vec<EndpointPort>,
}

/// An endpoint.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Only the first counts (S5).
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Vec<String>,
    /// Whether it serves.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Conditions,
    /// The node it runs on.
    pub node_name: Option<String>,
    /// Which nodes and zones it is meant for.
    pub hints: Option<Hints>,
}

/// Conditions of an endpoint, each of which may be unknown (S7).
#[derive(Deserialize, Clone, Copy, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Conditions {
    /// It takes new connections.
    pub ready: Option<bool>,
    /// It answers, if only its old clients.
    pub serving: Option<bool>,
    /// It is going away.
    pub terminating: Option<bool>,
}

/// Topology hints of an endpoint.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// Zones.
    #[serde(deserialize_with = "null_as_default")]
    pub for_zones: Vec<Hint>,
    /// Nodes.
    #[serde(deserialize_with = "null_as_default")]
    pub for_nodes: Vec<Hint>,
}

/// A zone or a node by name.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Hint {
    /// The name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
}

/// A port of an EndpointSlice.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct EndpointPort {
    /// The service port's name; empty for an unnamed one; `null` is none of ours (S5).
    pub name: Option<String>,
    /// TCP, UDP or SCTP; `null` means TCP.
    pub protocol: Option<String>,
    /// The endpoints' port.
    pub port: Option<i64>,
}

impl EndpointSlice {
    /// When the change began that the slice controller wrote last (§7), and the family that it concerns.
    pub fn trigger(&self) -> Option<(Family, Timestamp)> {
        let time = self.metadata.annotations.as_ref()?.get(TRIGGER_TIME)?.parse().ok()?;
        let family = if self.address_type == "IPv6" { Family::V6 } else { Family::V4 };
        Some((family, time))
    }
}

resource!(EndpointSlice, "EndpointSlice", "discovery.k8s.io", "endpointslices", kube::core::NamespaceResourceScope);

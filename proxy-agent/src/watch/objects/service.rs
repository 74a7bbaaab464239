//! Service (v1).

use super::meta::{resource, slim};
use super::null_as_default;
use kube::core::ObjectMeta;
use serde::Deserialize;

/// A Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Service {
    /// Who it is.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(deserialize_with = "null_as_default")]
    pub spec: ServiceSpec,
    /// What a load balancer's controller wrote.
    #[serde(deserialize_with = "null_as_default")]
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    pub service_type: String,
    /// The first of `clusterIPs`, empty or `None`.
    #[serde(rename = "clusterIP", deserialize_with = "null_as_default")]
    pub cluster_ip: String,
    /// At most one address a family.
    #[serde(rename = "clusterIPs", deserialize_with = "null_as_default")]
    pub cluster_ips: Vec<String>,
    /// The ports.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Vec<ServicePort>,
    /// Addresses that somebody else routes here.
    #[serde(rename = "externalIPs", deserialize_with = "null_as_default")]
    pub external_ips: Vec<String>,
    /// Who may use the load balancer's addresses.
    #[serde(deserialize_with = "null_as_default")]
    pub load_balancer_source_ranges: Vec<String>,
    /// Cluster or Local.
    #[serde(deserialize_with = "null_as_default")]
    pub internal_traffic_policy: String,
    /// Cluster or Local.
    #[serde(deserialize_with = "null_as_default")]
    pub external_traffic_policy: String,
    /// None or ClientIP.
    #[serde(deserialize_with = "null_as_default")]
    pub session_affinity: String,
    /// How long affinity lasts.
    #[serde(deserialize_with = "null_as_default")]
    pub session_affinity_config: SessionAffinityConfig,
    /// Where a load balancer asks whether this node has endpoints.
    #[serde(deserialize_with = "null_as_default")]
    pub health_check_node_port: i64,
}

/// `sessionAffinityConfig` of a Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct SessionAffinityConfig {
    /// For affinity ClientIP.
    #[serde(rename = "clientIP", deserialize_with = "null_as_default")]
    pub client_ip: ClientIpConfig,
}

/// `sessionAffinityConfig.clientIP` of a Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    /// `null` means three hours.
    pub timeout_seconds: Option<i64>,
}

/// A port of a Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Empty for the only port of a Service.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// TCP, UDP or SCTP; empty means TCP.
    #[serde(deserialize_with = "null_as_default")]
    pub protocol: String,
    /// The port of the ClusterIP.
    #[serde(deserialize_with = "null_as_default")]
    pub port: i64,
    /// The port of the nodes; 0 is none.
    #[serde(deserialize_with = "null_as_default")]
    pub node_port: i64,
}

/// `status` of a Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// The load balancer.
    #[serde(deserialize_with = "null_as_default")]
    pub load_balancer: LoadBalancerStatus,
}

/// `status.loadBalancer` of a Service.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Its addresses.
    #[serde(deserialize_with = "null_as_default")]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// An address of a load balancer.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerIngress {
    /// Empty if the load balancer has a host name alone.
    #[serde(deserialize_with = "null_as_default")]
    pub ip: String,
    /// VIP or Proxy; `null` means VIP.
    pub ip_mode: Option<String>,
}

resource!(Service, "Service", "", "services", kube::core::NamespaceResourceScope);

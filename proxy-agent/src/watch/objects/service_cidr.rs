//! ServiceCIDR (networking.k8s.io/v1, from Kubernetes 1.33 on).

use super::meta::{resource, slim};
use super::null_as_default;
use kube::core::ObjectMeta;
use serde::Deserialize;

/// Prefixes that ClusterIPs are taken from.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct ServiceCidr {
    /// Who it is.
    #[serde(deserialize_with = "slim")]
    pub metadata: ObjectMeta,
    /// What it says.
    #[serde(deserialize_with = "null_as_default")]
    pub spec: ServiceCidrSpec,
}

/// `spec` of a ServiceCIDR.
#[derive(Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct ServiceCidrSpec {
    /// One prefix, or one of each family.
    #[serde(deserialize_with = "null_as_default")]
    pub cidrs: Vec<String>,
}

resource!(ServiceCidr, "ServiceCIDR", "networking.k8s.io", "servicecidrs", kube::core::ClusterResourceScope);

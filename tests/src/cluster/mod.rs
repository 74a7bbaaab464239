//! A cluster of network namespaces: nodes with pods, a wire between them, and a client outside of it.
//!
//! Invariant: within a cluster every address follows from the plan in `plan`; two clusters never meet, since all their
//! devices are in namespaces of their own.

mod host;
mod members;
mod plan;
mod pods;
mod spec;
mod wire;

pub use host::Host;
pub use members::Cluster;
pub use plan::{POD_CIDR_V4, POD_CIDR_V6, SERVICE_CIDR_V4, SERVICE_CIDR_V6, cluster_ip, gateway_ip, overlay_ip, pod_cidr};
pub use spec::{PodNetwork, Spec, Wire};

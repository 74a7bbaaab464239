//! The objects that both sources deliver: of each Kubernetes type only the fields that matter here.
//!
//! Invariant: nothing but shape is checked. What a value means, and whether it makes sense, is for `state` to say; text stays
//! text, so that one odd value of a newer API version never spoils a list.

mod lenient;
mod meta;
mod node;
mod object;
mod service;
mod service_cidr;
mod slice;

pub use lenient::null_as_default;
pub use meta::{ALGORITHM, Kind, ObjectName};
pub use node::{Node, NodeAddress, NodeSpec, NodeStatus, Taint};
pub use object::Object;
pub use service::{
    ClientIpConfig, LoadBalancerIngress, LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus,
    SessionAffinityConfig,
};
pub use service_cidr::{ServiceCidr, ServiceCidrSpec};
pub use slice::{Conditions, Endpoint, EndpointPort, EndpointSlice, Hint, Hints};

//! Validated facts: raw objects are checked here, at the edge, once.
//!
//! Invariant: what stands here makes sense by itself; what doesn't is a [`Rejection`] and harms nothing else. Where an object
//! came from and what came before it makes no difference.

mod check;
mod health;
mod ip;
mod node;
mod rejection;
mod service;
mod service_cidr;
mod slice;
mod slices;
mod source_ranges;
mod store;

pub use health::{HealthCheck, WithoutLocal};
pub use ip::{parse_cidr, parse_ip};
pub use node::NodeFacts;
pub use rejection::{BadAddress, RejectReason, Rejection, Said};
pub use service::{Policies, Service, ServicePort};
pub use slice::{Endpoint, NodeHint, Slice, SlicePort};
pub use slices::Slices;
pub use store::{State, Taken};

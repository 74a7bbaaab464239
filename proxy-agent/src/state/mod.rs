//! Validated facts: raw objects are checked here, at the edge, once.
//!
//! Invariant: what stands here makes sense by itself; what doesn't is a [`Rejection`] and harms nothing else.

mod ip;

pub use ip::{parse_cidr, parse_ip};

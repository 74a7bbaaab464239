//! What the node is (devices, addresses, routes, by rtnetlink) and where programs are attached.

pub mod edges;
pub mod facts;
pub mod rules;

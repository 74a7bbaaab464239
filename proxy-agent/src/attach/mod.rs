//! What the node is (devices, addresses, routes, by rtnetlink) and where programs are attached.

pub mod attachments;
pub mod bpffs;
pub mod cgroup;
pub mod decode;
pub mod edges;
pub mod facts;
pub mod follow;
pub mod links;
pub mod netlink;
pub mod node;
pub mod ports;
pub mod probe;
pub mod programs;
pub mod rules;
pub mod sys;
pub mod tc;
pub mod xdp;

//! Which frontend was dialled.

use super::{Client, Env};
use crate::abi::{AddressFlags, Frontend, FrontendKey, INTEREST_FRONTEND, INTEREST_NODE};

/// The frontend that a packet to this key meets: by its address, or as a NodePort at an address of this node that serves them.
#[inline(always)]
pub fn for_packet<E: Env>(env: &E, key: FrontendKey) -> Option<Frontend> {
    let interest = env.interest(&key.addr);
    if interest & INTEREST_FRONTEND != 0
        && let Some(frontend) = env.frontend(&key)
    {
        return Some(frontend);
    }
    let is_node = interest & INTEREST_NODE != 0 && env.address(&key.addr).has(AddressFlags::NODE_PORT);
    if is_node { node_port(env, key) } else { None }
}

/// The frontend that a socket meets. For a process of this node NodePorts are there on loopback too (S40).
#[inline(always)]
pub fn for_socket<E: Env>(env: &E, key: FrontendKey, client: Client) -> Option<Frontend> {
    if let Some(frontend) = env.frontend(&key) {
        return Some(frontend);
    }
    let flags = env.address(&key.addr);
    if flags.has(AddressFlags::NODE_PORT) || (client == Client::Node && flags.has(AddressFlags::LOOPBACK)) {
        return node_port(env, key);
    }
    None
}

#[inline(always)]
fn node_port<E: Env>(env: &E, mut key: FrontendKey) -> Option<Frontend> {
    key.addr = key.addr.any();
    env.frontend(&key)
}

//! Which frontend was dialled.

use super::{Client, Env};
use crate::abi::{AddressFlags, Frontend, FrontendKey};

/// The frontend that a packet to this key meets: by its address, or as a NodePort at an address of this node that serves them.
#[inline(always)]
pub fn for_packet<E: Env>(env: &E, key: FrontendKey) -> Option<Frontend> {
    match env.frontend(&key) {
        Some(frontend) => Some(frontend),
        None if env.address(&key.addr).has(AddressFlags::NODE_PORT) => node_port(env, key),
        None => None,
    }
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

//! Which frontend was dialled.

use super::Env;
use crate::abi::{Addr, AddressFlags, Frontend, FrontendKey};

/// The frontend that a packet to this key meets: by its address, or as a NodePort at an address of this node that serves them.
#[inline(always)]
pub fn for_packet<E: Env>(env: &E, key: &FrontendKey) -> Option<Frontend> {
    env.frontend(key).or_else(|| node_port(env, key, AddressFlags::NODE_PORT))
}

/// The frontend that a socket meets; `own` says whether the caller is a process of this node, to whom NodePorts are there on
/// loopback too (S40).
#[inline(always)]
pub fn for_socket<E: Env>(env: &E, key: &FrontendKey, own: bool) -> Option<Frontend> {
    if let Some(frontend) = env.frontend(key) {
        return Some(frontend);
    }
    let flags = env.address(&key.addr);
    if flags.has(AddressFlags::NODE_PORT) || (own && flags.has(AddressFlags::LOOPBACK)) {
        return env.frontend(&key.node_port());
    }
    None
}

#[inline(always)]
fn node_port<E: Env>(env: &E, key: &FrontendKey, flag: AddressFlags) -> Option<Frontend> {
    if env.address(&key.addr).has(flag) && !is_any(&key.addr) { env.frontend(&key.node_port()) } else { None }
}

#[inline(always)]
fn is_any(addr: &Addr) -> bool {
    *addr == addr.any()
}

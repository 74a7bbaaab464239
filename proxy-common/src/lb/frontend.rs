//! Which frontend was dialled.

use super::{Client, Env};
use crate::abi::{Addr, AddressFlags, Frontend, FrontendKey, FrontendKind, INTEREST_FRONTEND, INTEREST_NODE};

/// The frontend that a packet to this key meets: by its address and port, as a NodePort at an address of this node that serves
/// them, or as what is left of a ClusterIP (S25).
#[inline(always)]
pub fn for_packet<E: Env>(env: &E, key: FrontendKey) -> Option<Frontend> {
    find(env, key, AddressFlags::NODE_PORT)
}

/// The frontend that a socket meets. For a process of this node NodePorts are there on loopback too (S40).
#[inline(always)]
pub fn for_socket<E: Env>(env: &E, key: FrontendKey, client: Client) -> Option<Frontend> {
    find(env, key, if client == Client::Node { AddressFlags::LOOPBACK } else { AddressFlags::NODE_PORT })
}

/// What is dialled mostly is nothing of ours, and left after one test. NodePorts are there at addresses flagged for them, and at those
/// flagged `also`.
#[inline(always)]
fn find<E: Env>(env: &E, key: FrontendKey, also: AddressFlags) -> Option<Frontend> {
    let interest = env.interest(&key.addr);
    if interest == 0 {
        return None;
    }
    let flags = if interest & INTEREST_NODE != 0 { env.address(&key.addr) } else { AddressFlags::default() };
    // A ClusterIP that is also assigned to a device of this node belongs to whoever listens there (S56).
    let taken = flags.has(AddressFlags::LOCAL);
    let has_frontends = interest & INTEREST_FRONTEND != 0;
    if has_frontends && let Some(frontend) = env.frontend(&key) {
        return if taken && frontend.kind == FrontendKind::CLUSTER_IP { None } else { Some(frontend) };
    }
    if (flags.has(AddressFlags::NODE_PORT) || flags.has(also))
        && let Some(frontend) = node_port(env, key)
    {
        return Some(frontend);
    }
    if has_frontends && !taken { env.frontend(&FrontendKey::rest_of(key.addr)) } else { None }
}

#[inline(always)]
fn node_port<E: Env>(env: &E, mut key: FrontendKey) -> Option<Frontend> {
    key.addr = key.addr.any();
    env.frontend(&key)
}

/// Whether an address lies in a ServiceCIDR. Without any, nobody pays for the question.
#[inline(always)]
pub fn in_service_cidr<E: Env>(env: &E, addr: &Addr) -> bool {
    env.config().is_some_and(|config| {
        config.service_cidr_count != 0 && config.service_cidrs.iter().any(|cidr| cidr.is_set() && cidr.contains(addr))
    })
}

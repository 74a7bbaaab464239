//! Who may dial a load balancer's addresses (S24, S42). Nobody else pays more than a test for zero.

use super::client::index;
use super::{Caller, Client, Env};
use crate::abi::{Addr, Descriptor, Family, FrontendKind, RangeSet, Source};

/// Whether the service is there for a client with this source address, at this kind of frontend. One that is not settled is in no
/// range.
#[inline(always)]
pub fn admits<E: Env>(env: &E, kind: FrontendKind, descriptor: &Descriptor, source: &Addr) -> bool {
    if descriptor.sources == RangeSet::NONE || kind != FrontendKind::LOAD_BALANCER {
        return true;
    }
    !source.is_unspecified() && env.allows(&Source { set: descriptor.sources, addr: *source })
}

/// The address that a socket's packets will come from: the one it is bound to, else, for a process of this node, the node's
/// primary one. A pod's is chosen later, and unspecified until then.
#[inline(always)]
pub fn of_socket<E: Env>(env: &E, caller: Caller, client: Client, family: Family) -> Addr {
    if client != Client::Node || !caller.source.is_unspecified() {
        return caller.source;
    }
    env.config().map_or(caller.source, |config| config.primary[index(family)])
}

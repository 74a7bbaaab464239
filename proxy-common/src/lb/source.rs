//! Who may dial a load balancer's addresses (S24, S42). Nobody else pays more than a test for zero.

use super::client::index;
use super::{Caller, Client, Env};
use crate::abi::{Addr, Descriptor, Family, FrontendKind, RangeSet, Source};

/// Whether the service is there for a client with this source address, at this kind of frontend. An address that is not settled
/// is in no range.
#[inline(always)]
pub fn admits<E: Env>(env: &E, kind: FrontendKind, descriptor: &Descriptor, source: Option<&Addr>) -> bool {
    if descriptor.sources == RangeSet::NONE || kind != FrontendKind::LOAD_BALANCER {
        return true;
    }
    source.is_some_and(|addr| env.allows(&Source { set: descriptor.sources, addr: *addr }))
}

/// The address that a socket's packets will come from, if that is settled: the one it is bound to, else, for a process of this
/// node, the node's primary one. A pod's is chosen later.
#[inline(always)]
pub fn of_socket<E: Env>(env: &E, caller: Caller, client: Client, family: Family) -> Option<Addr> {
    if caller.source != Addr::ANY_V4 && caller.source != Addr::ANY_V6 {
        return Some(caller.source);
    }
    let config = env.config().filter(|_| client == Client::Node)?;
    Some(config.primary[index(family)])
}

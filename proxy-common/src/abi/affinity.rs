//! Affinity: which backend a client's connections to a service port go to (S43).

use super::{Addr, BackendId, Generation, ServiceId};
use bytemuck::{Pod, Zeroable};

/// Key of AFFINITY: a service port and a client, which is an address, or at the socket hooks a network namespace. 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AffinityKey {
    client: [u32; 4],
    service: ServiceId,
    kind: u32,
}

/// Value of AFFINITY. 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Affinity {
    /// The backend.
    pub backend: BackendId,
    /// Its generation.
    pub generation: Generation,
    /// Time of the client's last new connection: milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
    pub since: u32,
}

impl AffinityKey {
    /// The client with this address.
    #[inline(always)]
    pub const fn of_address(service: ServiceId, addr: &Addr) -> Self {
        Self { client: addr.as_words(), service, kind: 0 }
    }

    /// The client in the network namespace with this cookie.
    #[inline(always)]
    pub const fn of_namespace(service: ServiceId, cookie: u64) -> Self {
        Self { client: [cookie as u32, (cookie >> 32) as u32, 0, 0], service, kind: 1 }
    }
}

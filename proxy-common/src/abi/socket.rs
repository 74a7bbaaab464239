//! What sockets remember: connected ones in socket storage, unconnected UDP ones in UDP_PEERS.

use super::{Addr, BackendId, FrontendKey, Generation, Port, ServiceId};
use bytemuck::{Pod, Zeroable};

/// Value of socket storage: what a connected socket dialled and where it went. 52 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SocketState {
    /// What the application dialled.
    pub frontend: FrontendKey,
    /// Where the kernel connected to.
    pub backend_addr: Addr,
    /// The service port that was dialled.
    pub service: ServiceId,
    /// The backend that was chosen.
    pub backend: BackendId,
    /// Its generation at that time.
    pub generation: Generation,
    /// The port the kernel connected to.
    pub backend_port: Port,
    /// Zero.
    pub zero: u16,
}

/// Key of UDP_PEERS: a socket and either the frontend that it sends to or the backend that answers it. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct PeerKey {
    cookie: u64,
    addr: Addr,
    port: Port,
    direction: u16,
    zero: u32,
}

impl PeerKey {
    /// The entry that says which backend a socket's datagrams to a frontend go to.
    #[inline(always)]
    pub const fn to_frontend(cookie: u64, addr: Addr, port: Port) -> Self {
        Self { cookie, addr, port, direction: 0, zero: 0 }
    }

    /// The entry that says which frontend a socket's datagrams from a backend belong to.
    #[inline(always)]
    pub const fn from_backend(cookie: u64, addr: Addr, port: Port) -> Self {
        Self { cookie, addr, port, direction: 1, zero: 0 }
    }
}

/// Value of UDP_PEERS: the backend's or the frontend's address. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct PeerValue {
    /// The other side's address.
    pub addr: Addr,
    /// The other side's port.
    pub port: Port,
    /// Zero.
    pub zero: u16,
    /// The service port that was dialled.
    pub service: ServiceId,
    /// The backend.
    pub backend: BackendId,
    /// Its generation.
    pub generation: Generation,
}

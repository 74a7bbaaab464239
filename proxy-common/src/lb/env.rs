//! What a decision may ask: one trait, with a body over eBPF maps and one over plain memory.

use crate::abi::{
    Addr, AddressFlags, Backend, BackendId, BackendState, Config, Descriptor, DeviceFlags, Flow, Frontend, FrontendKey,
    NextHop, PeerKey, PeerValue, Proto, ServiceId, ServiceWord, Tuple,
};

/// The tables of flows. TCP has its own, so that a storm of UDP evicts no connection; each has one for flows whose client has
/// not yet answered the reply, so that a flood evicts only strangers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FlowTable {
    /// Established TCP: FLOWS.
    Tcp,
    /// Embryonic TCP: FLOWS_NEW.
    TcpNew,
    /// Answered UDP: FLOWS_ANY.
    Any,
    /// Embryonic UDP: FLOWS_ANY_NEW.
    AnyNew,
}

/// Why a table took no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertError {
    /// An entry with this key is there.
    Exists,
    /// The table is full.
    Full,
}

/// What a route look-up is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteQuery {
    /// The packet's source.
    pub src: Addr,
    /// Where it shall go.
    pub dst: Addr,
    /// The device at which the question arises.
    pub device: u32,
}

/// A route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Device, neighbour and, where known, link addresses.
    pub hop: NextHop,
    /// The source address that the route prefers, if it names one.
    pub source: Option<Addr>,
}

/// What came of looking for a route.
pub type Lookup = Option<Route>;

/// Tables, clock, random numbers and the kernel's answers. Time is milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
pub trait Env {
    /// FRONTENDS.
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend>;
    /// SERVICES: loads the word once, with acquire order.
    fn service(&self, id: ServiceId) -> ServiceWord;
    /// DESCRIPTORS.
    fn descriptor(&self, index: u32) -> Option<Descriptor>;
    /// SLOTS.
    fn slot(&self, index: u32) -> Option<BackendId>;
    /// BACKENDS.
    fn backend(&self, id: BackendId) -> Option<Backend>;
    /// BACKEND_STATES.
    fn backend_state(&self, id: BackendId) -> BackendState;
    /// NODE_ADDRESSES; no flags for an address that is not on this node.
    fn address(&self, addr: &Addr) -> AddressFlags;
    /// DEVICES; no flags for an unknown device.
    fn device(&self, index: u32) -> DeviceFlags;
    /// CONFIG.
    fn config(&self) -> Option<&Config>;

    /// An entry of a flow table, to be read and changed in place.
    fn flow(&mut self, table: FlowTable, key: &Tuple) -> Option<&mut Flow>;
    /// Adds a flow entry.
    ///
    /// # Errors
    /// [`InsertError`]; an entry that is there stays as it is.
    fn insert_flow(&mut self, table: FlowTable, key: &Tuple, flow: &Flow) -> Result<(), InsertError>;
    /// Removes a flow entry, if it is there.
    fn remove_flow(&mut self, table: FlowTable, key: &Tuple);

    /// UDP_PEERS.
    fn peer(&self, key: &PeerKey) -> Option<PeerValue>;
    /// Writes an entry of UDP_PEERS.
    fn set_peer(&mut self, key: &PeerKey, value: &PeerValue);

    /// The clock.
    fn now(&self) -> u32;
    /// A uniform random number.
    fn random(&mut self) -> u32;
    /// A number that goes up by one each time, for the search for ports.
    fn next_cursor(&mut self) -> u32;
    /// The kernel's route for a packet.
    fn route(&mut self, query: &RouteQuery) -> Lookup;
    /// Whether a socket of this node uses the tuple (source = this node).
    fn has_socket(&mut self, tuple: &Tuple) -> bool;
    /// Counts a new connection of a service.
    fn count_connection(&mut self, service: ServiceId);
}

impl FlowTable {
    /// The table for established flows of a protocol.
    #[inline(always)]
    pub const fn established(proto: Proto) -> Self {
        match proto {
            Proto::TCP => Self::Tcp,
            _ => Self::Any,
        }
    }

    /// The table for embryonic flows of a protocol.
    #[inline(always)]
    pub const fn embryonic(proto: Proto) -> Self {
        match proto {
            Proto::TCP => Self::TcpNew,
            _ => Self::AnyNew,
        }
    }
}

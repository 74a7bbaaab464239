//! What a decision may ask: one trait, with a body over eBPF maps and one over plain memory.

use crate::abi::{
    Addr, AddressFlags, Affinity, AffinityKey, Backend, BackendId, BackendState, Config, Connection, Descriptor, DeviceFlags,
    End, Flow, FlowRoom, Frontend, FrontendKey, NextHop, PeerKey, PeerValue, Proto, ServiceId, ServiceWord, Source, Tuple,
};

/// The classes of flows. TCP has tables of its own, so that a storm of UDP evicts no connection.
///
/// The class is decided once for a packet and handed down by value: so the verifier sees one path for each class, rather than
/// two at every table that is named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// TCP.
    Tcp,
    /// Everything else.
    Any,
}

/// The tables of flows. Each class has a table, from which nothing is evicted, and a smaller spill, which takes what finds no room
/// there and evicts what was used longest ago: so a flood of first packets evicts only strangers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FlowTable {
    /// TCP: FLOWS.
    Tcp,
    /// TCP beyond the room: FLOWS_SPILL.
    TcpSpill,
    /// UDP: FLOWS_ANY.
    Any,
    /// UDP beyond the room: FLOWS_ANY_SPILL.
    AnySpill,
}

/// Why a table took no entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertError {
    /// An entry with this key is there.
    Exists,
    /// The table is full.
    Full,
}

/// Tables, clock, random numbers and the kernel's answers. Time is milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
pub trait Env {
    /// A flow entry that was found, good until the next entry is removed.
    type Entry: Copy;

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
    /// SOURCE_RANGES: whether a range of the set holds the address.
    fn allows(&self, source: &Source) -> bool;
    /// INTEREST: what `addr` may be, as bits; a bit that is missing is right, one that is set may be wrong.
    fn interest(&self, addr: &Addr) -> u8;
    /// INTEREST: `false` if `addr` answers no flow whose source is not translated. `true` may be wrong.
    fn may_answer(&self, addr: &Addr) -> bool;
    /// Notes in INTEREST that `addr` answers such flows.
    fn note_answers(&mut self, addr: &Addr);
    /// NODE_ADDRESSES; no flags for an address that is not on this node.
    fn address(&self, addr: &Addr) -> AddressFlags;
    /// DEVICES; no flags for an unknown device.
    fn device(&self, index: u32) -> DeviceFlags;
    /// CONFIG.
    fn config(&self) -> Option<&Config>;

    /// FLOW_FILTER: `false` if no flow entry has this key. `true` may be wrong.
    fn may_hold(&self, key: &Tuple) -> bool;
    /// Looks for an entry of a flow table.
    fn find_flow(&mut self, table: FlowTable, key: &Tuple) -> Option<Self::Entry>;
    /// The entry that was found, to be read and changed in place.
    fn entry(&mut self, entry: Self::Entry) -> &mut Flow;
    /// An entry of a flow table, to be read and changed in place.
    #[inline(always)]
    fn flow(&mut self, table: FlowTable, key: &Tuple) -> Option<&mut Flow> {
        let entry = self.find_flow(table, key)?;
        Some(self.entry(entry))
    }
    /// Adds a flow entry, once its key is noted in FLOW_FILTER.
    ///
    /// # Errors
    /// [`InsertError`]; an entry that is there stays as it is.
    fn insert_flow(&mut self, table: FlowTable, key: &Tuple, flow: &Flow) -> Result<(), InsertError>;
    /// Removes a flow entry, if it is there.
    fn remove_flow(&mut self, table: FlowTable, key: &Tuple);
    /// CONNECTIONS: the one with this end of its client, to be read and its halves changed in place.
    fn connection(&mut self, client: &End) -> Option<&mut Connection>;
    /// Adds a connection.
    ///
    /// # Errors
    /// [`InsertError`]; a connection that is there stays as it is.
    fn insert_connection(&mut self, client: &End, connection: &Connection) -> Result<(), InsertError>;
    /// Removes a connection, if it is there.
    fn remove_connection(&mut self, client: &End);
    /// FLOW_ROOM.
    fn room(&self, class: Class) -> Option<&FlowRoom>;
    /// FLOW_ROOM: adds to the number of embryonic flows.
    fn count_embryonic(&mut self, class: Class, by: i64);
    /// FLOW_ROOM: notes that a flow goes to the spill at this time.
    fn note_spill(&mut self, class: Class, now: u32);

    /// UDP_PEERS.
    fn peer(&self, key: &PeerKey) -> Option<PeerValue>;
    /// Writes an entry of UDP_PEERS.
    fn set_peer(&mut self, key: &PeerKey, value: &PeerValue);

    /// AFFINITY.
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity>;
    /// Writes an entry of AFFINITY.
    fn set_affinity(&mut self, key: &AffinityKey, value: &Affinity);

    /// The clock.
    fn now(&self) -> u32;
    /// A uniform random number.
    fn random(&mut self) -> u32;
    /// A number that goes up by one each time, for the search for ports.
    fn next_cursor(&mut self) -> u32;
    /// The kernel's route for a packet from a source to a destination, asked at a device: writes the next hop (link addresses zero while the
    /// neighbour is not resolved, `by_xdp` left open) and returns the source address that the route prefers. `None` without a route.
    fn route(&mut self, between: (&Addr, &Addr), device: u32, hop: &mut NextHop) -> Option<Addr>;
    /// Whether a socket of this node uses the tuple (source = this node).
    fn has_socket(&mut self, tuple: &Tuple) -> bool;
    /// Counts a new connection of a service.
    fn count_connection(&mut self, service: ServiceId);

    /// Runs `step` up to `times` times, until it says that it is done. (The kernel verifies the body of `bpf_loop` once, where it
    /// would follow a plain loop through each turn.)
    fn repeat<S: Step>(&mut self, times: u32, step: &mut S);
}

/// The body of a bounded loop.
pub trait Step {
    /// One turn, the `turn`-th from 0. Whether that was the last.
    fn step<E: Env>(&mut self, env: &mut E, turn: u32) -> bool;
}

impl Class {
    /// The class of a protocol's flows.
    #[inline(always)]
    pub const fn of(proto: Proto) -> Self {
        match proto {
            Proto::TCP => Self::Tcp,
            _ => Self::Any,
        }
    }

    /// The table of the class's flows.
    #[inline(always)]
    pub const fn table(self) -> FlowTable {
        match self {
            Self::Tcp => FlowTable::Tcp,
            Self::Any => FlowTable::Any,
        }
    }

    /// The table of those that found no room there.
    #[inline(always)]
    pub const fn spill(self) -> FlowTable {
        match self {
            Self::Tcp => FlowTable::TcpSpill,
            Self::Any => FlowTable::AnySpill,
        }
    }
}

impl FlowTable {
    /// The class of the table's flows.
    #[inline(always)]
    pub const fn class(self) -> Class {
        match self {
            Self::Tcp | Self::TcpSpill => Class::Tcp,
            Self::Any | Self::AnySpill => Class::Any,
        }
    }

    /// Whether it is a spill.
    #[inline(always)]
    pub const fn is_spill(self) -> bool {
        matches!(self, Self::TcpSpill | Self::AnySpill)
    }

    /// The other table of the class.
    #[inline(always)]
    pub const fn other(self) -> Self {
        if self.is_spill() { self.class().table() } else { self.class().spill() }
    }
}

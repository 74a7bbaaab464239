//! What each map is, as the agent's types have it; the object's definitions and the pins are held against it.

use super::MapName;
use super::sys::{ARRAY, HASH, LPM_TRIE, LRU_HASH, MMAPABLE, NO_PREALLOC, PERCPU_ARRAY, Shape};
use proxy_common::abi::{
    Addr, AddressFlags, Affinity, AffinityKey, Backend, BackendId, BackendState, COUNTER_SLOTS, Config, Connection, Counter,
    Descriptor, DeviceFlags, End, FLOW_FILTER_LEN, Flow, FlowRoom, Frontend, FrontendKey, INTEREST_LEN, PeerKey, PeerValue,
    ServiceName, ServiceWord, SocketState, SourceRange, Tuple,
};

const SK_STORAGE: u32 = 24;

impl MapName {
    /// The map's shape. `max_entries` is 0 where capacity or the object says it.
    pub(super) const fn shape(self) -> Shape {
        match self {
            Self::Frontends => table::<FrontendKey, Frontend>(HASH, 0),
            Self::Services => table::<u32, ServiceWord>(ARRAY, MMAPABLE),
            Self::Descriptors => table::<u32, Descriptor>(ARRAY, MMAPABLE),
            Self::Slots => table::<u32, BackendId>(ARRAY, MMAPABLE),
            Self::Backends => table::<u32, Backend>(ARRAY, MMAPABLE),
            Self::BackendStates => table::<u32, BackendState>(ARRAY, MMAPABLE),
            Self::Names => table::<u32, ServiceName>(ARRAY, MMAPABLE),
            Self::SourceRanges => table::<SourceRange, u8>(LPM_TRIE, NO_PREALLOC),
            Self::Connections => table::<End, Connection>(HASH, 0),
            Self::Flows | Self::FlowsAny => table::<Tuple, Flow>(HASH, 0),
            Self::FlowsSpill | Self::FlowsAnySpill => table::<Tuple, Flow>(LRU_HASH, 0),
            Self::FlowRoom => Shape { max_entries: 2, ..table::<u32, FlowRoom>(ARRAY, MMAPABLE) },
            Self::FlowFilter => Shape { max_entries: 1, ..table::<u32, [u64; FLOW_FILTER_LEN]>(ARRAY, MMAPABLE) },
            Self::UdpPeers => table::<PeerKey, PeerValue>(LRU_HASH, 0),
            Self::Affinity => table::<AffinityKey, Affinity>(LRU_HASH, 0),
            Self::Sockets => table::<u32, SocketState>(SK_STORAGE, NO_PREALLOC),
            Self::NodeAddresses => table::<Addr, AddressFlags>(HASH, NO_PREALLOC),
            Self::Devices => table::<u32, DeviceFlags>(HASH, NO_PREALLOC),
            Self::Interest => Shape { max_entries: 2, ..table::<u32, [u8; INTEREST_LEN]>(ARRAY, MMAPABLE) },
            Self::Config => Shape { max_entries: 1, ..table::<u32, Config>(ARRAY, MMAPABLE) },
            Self::Counters => Shape { max_entries: COUNTER_SLOTS, ..table::<u32, Counter>(PERCPU_ARRAY, 0) },
            Self::ServiceCounters => table::<u32, u64>(PERCPU_ARRAY, 0),
        }
    }
}

const fn table<K, V>(kind: u32, flags: u32) -> Shape {
    Shape { kind, key_size: size_of::<K>() as u32, value_size: size_of::<V>() as u32, max_entries: 0, flags }
}

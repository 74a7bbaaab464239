//! The maps. Their sizes here are placeholders: the agent sets them when it creates the maps. Nothing outside this file names
//! a map but through these functions.

use crate::kernel;
use aya_ebpf::Global;
use aya_ebpf::bindings::bpf_fib_lookup;
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, SkStorage};
use aya_ebpf::macros::btf_map;
use proxy_common::abi::{
    Addr, AddressFlags, Affinity, AffinityKey, Backend, BackendId, BackendState, Bucket, COUNTER_SLOTS, Config, Connection,
    Counter, Descriptor, DeviceFlags, End, FLOW_FILTER_ASKED, FLOW_FILTER_LEN, Flow, FlowRoom, Frontend, FrontendKey,
    INTEREST_LEN, PeerKey, PeerValue, ProgramState, Scratch, ServiceName, ServiceWord, SocketState, Source, Tuple,
};

use proxy_common::packet::Parsed;

const NO_PREALLOC: usize = 1;
const MMAPABLE: usize = 1 << 10;

#[btf_map]
pub static FRONTENDS: HashMap<FrontendKey, Frontend, 1024> = HashMap::new();
#[btf_map]
pub static SERVICES: Array<ServiceWord, 1024, MMAPABLE> = Array::new();
#[btf_map]
pub static DESCRIPTORS: Array<Descriptor, 1024, MMAPABLE> = Array::new();
#[btf_map]
pub static SLOTS: Array<BackendId, 1024, MMAPABLE> = Array::new();
#[btf_map]
pub static BACKENDS: Array<Backend, 1024, MMAPABLE> = Array::new();
#[btf_map]
pub static BACKEND_STATES: Array<BackendState, 1024, MMAPABLE> = Array::new();
/// The values say nothing.
#[btf_map]
pub static SOURCE_RANGES: LpmTrie<Source, u8, 1024> = LpmTrie::new();
/// Written and read by the agent alone; it stands here so that it is created and pinned with the others.
#[btf_map]
pub static NAMES: Array<ServiceName, 1024, MMAPABLE> = Array::new();
#[btf_map]
pub static CONNECTIONS: HashMap<End, Connection, 1024> = HashMap::new();
#[btf_map]
pub static FLOWS: HashMap<Tuple, Flow, 1024> = HashMap::new();
#[btf_map]
pub static FLOWS_SPILL: LruHashMap<Tuple, Flow, 1024> = LruHashMap::new();
#[btf_map]
pub static FLOWS_ANY: HashMap<Tuple, Flow, 1024> = HashMap::new();
#[btf_map]
pub static FLOWS_ANY_SPILL: LruHashMap<Tuple, Flow, 1024> = LruHashMap::new();
#[btf_map]
pub static FLOW_ROOM: Array<FlowRoom, 2, MMAPABLE> = Array::new();
/// A hint at the keys that the flow tables hold.
#[btf_map]
pub static FLOW_FILTER: Array<[u64; FLOW_FILTER_LEN], 1, MMAPABLE> = Array::new();
#[btf_map]
pub static UDP_PEERS: LruHashMap<PeerKey, PeerValue, 1024> = LruHashMap::new();
#[btf_map]
pub static AFFINITY: LruHashMap<AffinityKey, Affinity, 1024> = LruHashMap::new();
#[btf_map]
pub static SOCKETS: SkStorage<SocketState> = SkStorage::new();
#[btf_map]
pub static NODE_ADDRESSES: HashMap<Addr, AddressFlags, 4096, NO_PREALLOC> = HashMap::new();
#[btf_map]
pub static DEVICES: HashMap<u32, DeviceFlags, 4096, NO_PREALLOC> = HashMap::new();
#[btf_map]
pub static CONFIG: Array<Config, 1, MMAPABLE> = Array::new();
/// A hint at what concerns us at all; a byte is never cleared.
#[btf_map]
pub static INTEREST: Array<[u8; INTEREST_LEN], 2, MMAPABLE> = Array::new();
#[btf_map]
pub static COUNTERS: PerCpuArray<Counter, { COUNTER_SLOTS as usize }> = PerCpuArray::new();
#[btf_map]
pub static SERVICE_COUNTERS: PerCpuArray<u64, 1024> = PerCpuArray::new();
#[btf_map]
pub static PROGRAM_STATE: PerCpuArray<ProgramState, 1> = PerCpuArray::new();
#[btf_map]
pub static ICMP_TOKENS: PerCpuArray<Bucket, 1> = PerCpuArray::new();

/// What a packet program works on; all of it may be zero.
#[repr(C)]
pub struct Work {
    /// The packet's headers.
    pub parsed: Parsed,
    /// The decision's scratch memory.
    pub scratch: Scratch,
}

#[btf_map]
pub static SCRATCH: PerCpuArray<Work, 1> = PerCpuArray::new();

#[btf_map]
pub static FIB: PerCpuArray<bpf_fib_lookup, 1> = PerCpuArray::new();

/// Replaces the kernel's random numbers where it is not zero, so that the same packets meet the same choices.
#[unsafe(no_mangle)]
pub static SEED: Global<u64> = Global::new(0);

/// Not zero: the kernel's checksum helper knows BPF_F_IPV6 (Linux 6.16).
#[unsafe(no_mangle)]
pub static CSUM_IPV6: Global<u32> = Global::new(1);

/// This CPU's working memory. The packet hooks run with softirqs off, so one CPU is in one of them at a time.
#[inline(always)]
pub fn work() -> Option<&'static mut Work> {
    // SAFETY: a slot of a per-CPU array, used by one program at a time.
    SCRATCH.get_ptr_mut(0).map(|work| unsafe { &mut *work })
}

/// Whether the half of FLOW_FILTER that is asked has a tuple's bit.
#[inline(always)]
pub fn filter_has(tuple: &Tuple) -> bool {
    let place = tuple.filter_place();
    let Some(words) = FLOW_FILTER.get_ptr_mut(0).map(<*mut _>::cast::<u64>) else { return true };
    // SAFETY: words of an array's element, below its length; each is loaded once.
    let (half, word) = unsafe { (words.add(FLOW_FILTER_ASKED).read_volatile(), words.add(place.index).read_volatile()) };
    word & place.in_half(half & 1) != 0
}

/// Sets a tuple's bit in both halves of FLOW_FILTER.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
pub fn filter_add(tuple: &Tuple) {
    let place = tuple.filter_place();
    if let Some(words) = FLOW_FILTER.get_ptr_mut(0).map(<*mut _>::cast::<u64>) {
        // SAFETY: a word of an array's element, below its length; the kernel sets both bits in one step.
        unsafe { kernel::set(words.add(place.index), place.in_both()) };
    }
}

/// The byte of a field of INTEREST that stands for an address.
#[inline(always)]
pub fn interest(field: u32, addr: &Addr) -> Option<*mut u8> {
    // SAFETY: the hash is below the field's length.
    INTEREST.get_ptr_mut(field).map(|bytes| unsafe { bytes.cast::<u8>().add(addr.interest() as usize) })
}

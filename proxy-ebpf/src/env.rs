//! The decisions' surroundings in the kernel: maps, clock and helpers behind the trait [`Env`].

use crate::kernel;
use crate::maps::{
    self, AFFINITY, BACKEND_STATES, BACKENDS, CONFIG, CONNECTIONS, DESCRIPTORS, DEVICES, FLOW_ROOM, FLOWS, FLOWS_ANY,
    FLOWS_ANY_SPILL, FLOWS_SPILL, FRONTENDS, NODE_ADDRESSES, PROGRAM_STATE, SEED, SERVICE_COUNTERS, SERVICES, SLOTS,
    SOURCE_RANGES, UDP_PEERS,
};
use crate::route;
use aya_ebpf::btf_maps::lpm_trie::Key;
use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_coarse_ns, bpf_loop};
use core::ffi::c_void;
use core::ptr;
use proxy_common::abi::{
    Addr, AddressFlags, Affinity, AffinityKey, Backend, BackendId, BackendState, Config, Connection, Descriptor, DeviceFlags,
    End, Flow, FlowRoom, Frontend, FrontendKey, INTEREST_ANSWERS, INTEREST_DIALLED, NextHop, PeerKey, PeerValue, ServiceId,
    ServiceWord, Source, Tuple,
};
use proxy_common::lb::{self, Class, Env, FlowTable, InsertError, Step};

const NOEXIST: u64 = 1;
const EEXIST: i32 = -17;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// The kernel, seen from a hook with this context.
pub struct Kernel {
    ctx: *mut c_void,
}

impl Kernel {
    /// The kernel behind a hook's context.
    #[inline(always)]
    pub const fn new(ctx: *mut c_void) -> Self {
        Self { ctx }
    }
}

/// The clock of the tables: milliseconds of CLOCK_MONOTONIC_COARSE, modulo 2^32.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    (unsafe { bpf_ktime_get_coarse_ns() } / NANOS_PER_MILLI) as u32
}

#[inline(always)]
const fn insert_error(error: i32) -> InsertError {
    if error == EEXIST { InsertError::Exists } else { InsertError::Full }
}

macro_rules! in_table {
    ($table:expr, $map:ident => $use:expr) => {
        match $table {
            FlowTable::Tcp => {
                let $map = &FLOWS;
                $use
            }
            FlowTable::TcpSpill => {
                let $map = &FLOWS_SPILL;
                $use
            }
            FlowTable::Any => {
                let $map = &FLOWS_ANY;
                $use
            }
            FlowTable::AnySpill => {
                let $map = &FLOWS_ANY_SPILL;
                $use
            }
        }
    };
}

impl Env for Kernel {
    type Entry = *mut Flow;

    #[inline(always)]
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        // SAFETY: the value is copied at once; the agent never changes one in place.
        unsafe { FRONTENDS.get(key) }.copied()
    }

    #[inline(always)]
    fn service(&self, id: ServiceId) -> ServiceWord {
        match SERVICES.get_ptr(id.0) {
            // SAFETY: an element of an array; one aligned load of eight bytes, exactly once.
            Some(word) => unsafe { ptr::read_volatile(word) },
            None => ServiceWord::NONE,
        }
    }

    #[inline(always)]
    fn descriptor(&self, index: u32) -> Option<Descriptor> {
        DESCRIPTORS.get(index).copied()
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<BackendId> {
        SLOTS.get(index).copied()
    }

    #[inline(always)]
    fn backend(&self, id: BackendId) -> Option<Backend> {
        BACKENDS.get(id.0).copied()
    }

    #[inline(always)]
    fn backend_state(&self, id: BackendId) -> BackendState {
        BACKEND_STATES.get(id.0).copied().unwrap_or_default()
    }

    #[inline(always)]
    fn allows(&self, source: &Source) -> bool {
        SOURCE_RANGES.get(&Key::new(Source::BITS, *source)).is_some()
    }

    #[inline(always)]
    fn interest(&self, addr: &Addr) -> u8 {
        // SAFETY: a byte of an array's element.
        maps::interest(INTEREST_DIALLED, addr).map_or(u8::MAX, |byte| unsafe { *byte })
    }

    #[inline(always)]
    fn may_answer(&self, addr: &Addr) -> bool {
        // SAFETY: a byte of an array's element.
        maps::interest(INTEREST_ANSWERS, addr).is_none_or(|byte| unsafe { *byte } != 0)
    }

    #[inline(always)]
    fn note_answers(&mut self, addr: &Addr) {
        if let Some(byte) = maps::interest(INTEREST_ANSWERS, addr) {
            // SAFETY: a byte of an array's element, stored as a whole.
            unsafe { *byte = 1 };
        }
    }

    #[inline(always)]
    fn address(&self, addr: &Addr) -> AddressFlags {
        // SAFETY: the value is copied at once.
        unsafe { NODE_ADDRESSES.get(addr) }.copied().unwrap_or_default()
    }

    #[inline(always)]
    fn device(&self, index: u32) -> DeviceFlags {
        // SAFETY: the value is copied at once.
        unsafe { DEVICES.get(index) }.copied().unwrap_or_default()
    }

    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        CONFIG.get(0)
    }

    #[inline(always)]
    fn may_hold(&self, key: &Tuple) -> bool {
        maps::filter_has(key)
    }

    #[inline(always)]
    fn find_flow(&mut self, table: FlowTable, key: &Tuple) -> Option<*mut Flow> {
        in_table!(table, map => map.get_ptr_mut(key))
    }

    #[inline(always)]
    fn entry(&mut self, entry: *mut Flow) -> &mut Flow {
        // SAFETY: an element of a map lives until the program ends; other CPUs may write its words, each whole.
        unsafe { &mut *entry }
    }

    #[inline(always)]
    fn insert_flow(&mut self, table: FlowTable, key: &Tuple, flow: &Flow) -> Result<(), InsertError> {
        maps::filter_add(key);
        in_table!(table, map => map.insert(key, flow, NOEXIST)).map_err(insert_error)
    }

    #[inline(always)]
    fn remove_flow(&mut self, table: FlowTable, key: &Tuple) {
        let _ = in_table!(table, map => map.remove(key));
    }

    #[inline(always)]
    fn connection(&mut self, client: &End) -> Option<&mut Connection> {
        // SAFETY: an element of a map lives until the program ends; other CPUs may write its words, each whole.
        CONNECTIONS.get_ptr_mut(client).map(|connection| unsafe { &mut *connection })
    }

    #[inline(always)]
    fn insert_connection(&mut self, client: &End, connection: &Connection) -> Result<(), InsertError> {
        CONNECTIONS.insert(client, connection, NOEXIST).map_err(insert_error)
    }

    #[inline(always)]
    fn remove_connection(&mut self, client: &End) {
        let _ = CONNECTIONS.remove(client);
    }

    #[inline(always)]
    fn room(&self, class: Class) -> Option<&FlowRoom> {
        FLOW_ROOM.get(class as u32)
    }

    #[inline(always)]
    fn count_embryonic(&mut self, class: Class, by: i64) {
        if let Some(room) = FLOW_ROOM.get_ptr_mut(class as u32) {
            // SAFETY: a word of an array's element; the kernel adds to it in one step.
            unsafe { kernel::add(&raw mut (*room).embryonic, by) };
        }
    }

    #[inline(always)]
    fn note_spill(&mut self, class: Class, now: u32) {
        if let Some(room) = FLOW_ROOM.get_ptr_mut(class as u32) {
            // SAFETY: a word of an array's element, stored as a whole.
            unsafe { (&raw mut (*room).spilled).write_volatile(now.max(1)) };
        }
    }

    #[inline(always)]
    fn peer(&self, key: &PeerKey) -> Option<PeerValue> {
        // SAFETY: the value is copied at once.
        unsafe { UDP_PEERS.get(key) }.copied()
    }

    #[inline(always)]
    fn set_peer(&mut self, key: &PeerKey, value: &PeerValue) {
        let _ = UDP_PEERS.insert(key, value, 0);
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        // SAFETY: the value is copied at once.
        unsafe { AFFINITY.get(key) }.copied()
    }

    #[inline(always)]
    fn set_affinity(&mut self, key: &AffinityKey, value: &Affinity) {
        let _ = AFFINITY.insert(key, value, 0);
    }

    #[inline(always)]
    fn now(&self) -> u32 {
        now()
    }

    #[inline(always)]
    fn random(&mut self) -> u32 {
        let seed = SEED.load();
        if seed == 0 {
            // SAFETY: takes nothing and cannot fail.
            return unsafe { bpf_get_prandom_u32() };
        }
        let Some(state) = PROGRAM_STATE.get_ptr_mut(0) else { return 0 };
        // SAFETY: a slot of a per-CPU array, which only this CPU writes.
        unsafe {
            (*state).draws = (*state).draws.wrapping_add(1);
            lb::seeded(seed, (*state).draws)
        }
    }

    #[inline(always)]
    fn next_cursor(&mut self) -> u32 {
        let Some(state) = PROGRAM_STATE.get_ptr_mut(0) else { return 0 };
        // SAFETY: a slot of a per-CPU array, which only this CPU writes.
        unsafe {
            (*state).cursor = (*state).cursor.wrapping_add(1);
            (*state).cursor
        }
    }

    #[inline(always)]
    fn route(&mut self, between: (&Addr, &Addr), device: u32, hop: &mut NextHop) -> Option<Addr> {
        route::look_up(self.ctx, between, device, hop)
    }

    #[inline(always)]
    fn has_socket(&mut self, tuple: &Tuple) -> bool {
        kernel::has_socket(self.ctx, tuple)
    }

    #[inline(always)]
    fn count_connection(&mut self, service: ServiceId) {
        if let Some(connections) = SERVICE_COUNTERS.get_ptr_mut(service.0) {
            // SAFETY: a slot of a per-CPU array, which only this CPU writes.
            unsafe { *connections += 1 };
        }
    }

    #[inline(always)]
    fn repeat<S: Step>(&mut self, times: u32, step: &mut S) {
        let mut turns = Turns { env: self, step };
        // SAFETY: the callback has the signature that the helper wants, and its argument outlives the call.
        unsafe { bpf_loop(times, turn::<S> as *mut c_void, (&raw mut turns).cast(), 0) };
    }
}

/// What the turns of a loop share.
struct Turns<S> {
    env: *mut Kernel,
    step: *mut S,
}

/// One turn of a loop: 0 = go on, 1 = done.
extern "C" fn turn<S: Step>(turn: u32, turns: *mut Turns<S>) -> i64 {
    // SAFETY: both pointers are to values of the function that runs the loop.
    unsafe { i64::from((*(*turns).step).step(&mut *(*turns).env, turn)) }
}

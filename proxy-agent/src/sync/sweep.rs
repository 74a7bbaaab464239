//! The sweep over the flow tables: entries of flows that are over go, both together, in bulk. A thread of its own makes it, since
//! it may take a tenth of a second.
//!
//! Flows are told apart by a hash over both tuples, so that a sweep of half a million entries needs a few megabytes. Only if
//! something is over, a second pass removes it, and looks at each entry again: one that had a packet meanwhile stays, and so does
//! another flow that took its tuple.

use super::expire::{FlowState, Timeouts};
use crate::maps::{FLOW_TABLES, Flows, MapError, MapName};
use nix::time::{ClockId, clock_gettime};
use proxy_common::abi::{Flow, FlowFlags, Tuple};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// How often the sweep runs.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a sweep found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Entries in each of [`FLOW_TABLES`] that remain.
    pub entries: [u32; 4],
    /// Entries in each of them that were removed.
    pub expired: [u32; 4],
}

/// The thread that sweeps. It ends when this is dropped.
#[derive(Debug)]
pub struct Sweeper {
    _alive: Sender<()>,
}

impl Sweeper {
    /// Starts sweeping; each outcome goes to `report`.
    pub fn start(
        flows: impl Flows + Send + 'static,
        timeouts: Timeouts,
        mut report: impl FnMut(Result<Swept, MapError>) + Send + 'static,
    ) -> io::Result<Self> {
        let (_alive, ended) = channel();
        let sweeping = move || {
            while ended.recv_timeout(SWEEP_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                report(sweep(&flows, &timeouts, now));
            }
        };
        Builder::new().name("sweep".into()).spawn(sweeping)?;
        Ok(Self { _alive })
    }
}

/// Milliseconds of CLOCK_MONOTONIC_COARSE modulo 2^32, the clock of [`Flow::seen`].
pub fn now() -> u32 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from);
    time.as_millis() as u32
}

/// One sweep over all tables.
pub fn sweep(flows: &impl Flows, timeouts: &Timeouts, clock: impl Fn() -> u32) -> Result<Swept, MapError> {
    let mut swept = Swept::default();
    let sweep = Sweep { flows, timeouts, clock: &clock, hasher: RandomState::new() };
    let halves = swept.entries.chunks_mut(2).zip(swept.expired.chunks_mut(2));
    for (tables, (entries, expired)) in FLOW_TABLES.chunks(2).zip(halves) {
        let over = sweep.find(tables, entries)?;
        if over.is_empty() {
            continue;
        }
        for ((table, entries), expired) in tables.iter().zip(entries).zip(expired) {
            *expired = sweep.remove(*table, &over)?;
            *entries = entries.saturating_sub(*expired);
        }
    }
    Ok(swept)
}

struct Sweep<'a, F, C> {
    flows: &'a F,
    timeouts: &'a Timeouts,
    clock: &'a C,
    hasher: RandomState,
}

impl<F: Flows, C: Fn() -> u32> Sweep<'_, F, C> {
    /// The flows of some tables that are over.
    fn find(&self, tables: &[MapName], entries: &mut [u32]) -> Result<HashMap<u64, FlowState>, MapError> {
        let mut known: HashMap<u64, FlowState> = HashMap::new();
        for (table, count) in tables.iter().zip(entries) {
            self.flows.walk(*table, &mut |keys, values| {
                *count += keys.len() as u32;
                for (key, entry) in keys.iter().zip(values) {
                    let state = FlowState::of(entry);
                    let flow = known.entry(self.identity(key, entry)).or_insert(state);
                    *flow = flow.with(state);
                }
            })?;
        }
        let now = (self.clock)();
        known.retain(|_, flow| flow.is_expired(now, self.timeouts));
        Ok(known)
    }

    /// Removes the entries of flows that are over, and says how many there were.
    fn remove(&self, table: MapName, over: &HashMap<u64, FlowState>) -> Result<u32, MapError> {
        let (mut removed, mut failed) = (0, Ok(()));
        self.flows.walk(table, &mut |keys, values| {
            let now = (self.clock)();
            let is_over = |key: &Tuple, entry: &Flow| {
                let flow = over.get(&self.identity(key, entry));
                flow.is_some_and(|flow| flow.with(FlowState::of(entry)).is_expired(now, self.timeouts))
            };
            let entries = keys.iter().zip(values).filter(|(key, entry)| is_over(key, entry));
            let keys: Vec<Tuple> = entries.map(|(key, _)| *key).collect();
            if failed.is_ok() && !keys.is_empty() {
                failed = self.flows.remove(table, &keys);
                removed += keys.len() as u32;
            }
        })?;
        failed.map(|()| removed)
    }

    /// The same for both entries of a flow.
    fn identity(&self, key: &Tuple, entry: &Flow) -> u64 {
        let other = entry.to.reversed();
        self.hasher.hash_one(if entry.flags.has(FlowFlags::FORWARD) { (*key, other) } else { (other, *key) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_common::abi::{Addr, BackendId, Generation, NextHop, Port, Proto, ServiceId};
    use std::cell::RefCell;

    #[derive(Default)]
    struct Memory(RefCell<HashMap<MapName, HashMap<Tuple, Flow>>>);

    impl Flows for Memory {
        fn walk(&self, table: MapName, visit: &mut dyn FnMut(&[Tuple], &[Flow])) -> Result<(), MapError> {
            let entries = self.0.borrow().get(&table).cloned().unwrap_or_default();
            entries.into_iter().for_each(|(key, entry)| visit(&[key], &[entry]));
            Ok(())
        }

        fn remove(&self, table: MapName, keys: &[Tuple]) -> Result<(), MapError> {
            self.0.borrow_mut().entry(table).or_default().retain(|key, _| !keys.contains(key));
            Ok(())
        }
    }

    impl Memory {
        fn put(&self, table: MapName, key: Tuple, to: Tuple, flags: FlowFlags, seen: u32) {
            let (service, backend, generation) = (ServiceId(1), BackendId(1), Generation(1));
            let entry = Flow { to, service, backend, generation, flags, seen, checked: seen, hop: NextHop::NONE };
            self.0.borrow_mut().entry(table).or_default().insert(key, entry);
        }

        /// Both entries of the flow of client port `port`.
        fn pair(&self, table: MapName, proto: Proto, port: u16, flags: [FlowFlags; 2], seen: [u32; 2]) {
            let key = tuple(port, 1, proto);
            let to = tuple(port, 2, proto);
            self.put(table, key, to, flags[0].with(FlowFlags::FORWARD), seen[0]);
            self.put(table, to.reversed(), key.reversed(), flags[1], seen[1]);
        }

        fn left(&self) -> usize {
            self.0.borrow().values().map(HashMap::len).sum()
        }

        fn sweep(&self, now: u32) -> Swept {
            sweep(self, &Timeouts::default(), || now).expect("memory does not fail")
        }
    }

    fn tuple(port: u16, to: u8, proto: Proto) -> Tuple {
        let addr = |last: u8| Addr::v4_word(u32::from_ne_bytes([192, 0, 2, last]));
        Tuple::new(addr(9), Port::new(port), addr(to), Port::new(80), proto)
    }

    const NONE: FlowFlags = FlowFlags(0);
    const EST: FlowFlags = FlowFlags::ESTABLISHED;

    #[test]
    fn pairs_go_together() {
        let flows = Memory::default();
        flows.pair(MapName::FlowsNew, Proto::TCP, 1, [NONE; 2], [0, 50_000]);
        flows.pair(MapName::Flows, Proto::TCP, 2, [EST; 2], [0; 2]);
        flows.pair(MapName::FlowsAnyNew, Proto::UDP, 3, [NONE; 2], [0; 2]);
        flows.pair(MapName::FlowsAny, Proto::UDP, 4, [NONE, FlowFlags::ANSWERED], [0; 2]);
        assert_eq!(flows.sweep(29_000), Swept { entries: [2; 4], expired: [0; 4] });
        assert_eq!(flows.sweep(30_000), Swept { entries: [2, 2, 2, 0], expired: [0, 0, 0, 2] });
        assert_eq!(flows.sweep(100_000), Swept { entries: [2, 2, 2, 0], expired: [0; 4] });
        assert_eq!(flows.sweep(110_000), Swept { entries: [2, 0, 2, 0], expired: [0, 2, 0, 0] });
        assert_eq!(flows.sweep(86_400_000), Swept { entries: [0; 4], expired: [2, 0, 2, 0] });
        assert_eq!(flows.left(), 0);
    }

    #[test]
    fn a_flow_between_two_tables_is_one() {
        let flows = Memory::default();
        let (key, to) = (tuple(1, 1, Proto::TCP), tuple(1, 2, Proto::TCP));
        flows.put(MapName::FlowsNew, key, to, FlowFlags::FORWARD, 0);
        flows.put(MapName::Flows, to.reversed(), key.reversed(), EST, 0);
        assert_eq!(flows.sweep(3_600_000).expired, [0; 4]);
        assert_eq!(flows.sweep(86_400_000).expired.iter().sum::<u32>(), 2);
    }

    #[test]
    fn what_had_a_packet_during_the_sweep_stays() {
        let flows = Memory::default();
        flows.pair(MapName::FlowsAny, Proto::UDP, 1, [NONE, FlowFlags::ANSWERED], [0; 2]);
        let asked = std::cell::Cell::new(0);
        let clock = || {
            if asked.replace(asked.get() + 1) == 0 {
                flows.pair(MapName::FlowsAny, Proto::UDP, 1, [NONE, FlowFlags::ANSWERED], [200_000; 2]);
            }
            200_000
        };
        let swept = sweep(&flows, &Timeouts::default(), clock).expect("memory does not fail");
        assert_eq!((swept.expired, flows.left()), ([0; 4], 2));
    }

    #[test]
    fn another_flow_that_took_the_tuple_stays() {
        let flows = Memory::default();
        flows.pair(MapName::Flows, Proto::TCP, 1, [EST.with(FlowFlags::FIN); 2], [0; 2]);
        let asked = std::cell::Cell::new(0);
        let key = tuple(1, 1, Proto::TCP);
        let clock = || {
            if asked.replace(asked.get() + 1) == 0 {
                flows.put(MapName::Flows, key, tuple(1, 3, Proto::TCP), FlowFlags::FORWARD, 0);
            }
            60_000
        };
        let swept = sweep(&flows, &Timeouts::default(), clock).expect("memory does not fail");
        assert_eq!(
            (swept.expired.iter().sum::<u32>(), flows.left()),
            (1, 1),
            "the old reply's entry goes, the new client's stays"
        );
    }
}

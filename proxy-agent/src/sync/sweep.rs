//! The sweep over connections and flow tables: what is over goes, a flow's two entries together, in bulk. A thread of its own makes
//! it, since it may take a tenth of a second.
//!
//! Flows are told apart by a hash over both tuples, so that a sweep of half a million entries needs a few megabytes. Only if
//! something is over, a second pass removes it, and looks at each entry again: one that had a packet meanwhile stays, and so does
//! another flow that took its tuple.

use super::expire::{FlowState, Room, Timeouts};
use super::renewal::Renewal;
use crate::maps::{FLOW_TABLES, Flows, MapError, MapName};
use nix::time::{ClockId, clock_gettime};
use proxy_common::abi::{End, Flow, FlowFlags, FlowRoom, Tuple};
use proxy_common::lb::Class;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// How often the sweep runs.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How often it runs while a table is more than half full.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);
/// A program that has noted that a flow goes to the spill makes the entry within this time, in milliseconds: it never sleeps.
const NOTED_TO_MADE: u32 = 1_000;
/// How far the number of embryonic flows may be off before it is put right: what comes and goes during a sweep.
const TOLERANCE: i64 = 64;

/// What a sweep found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Entries in each of [`FLOW_TABLES`] that remain.
    pub entries: [u32; 4],
    /// Entries in each of them that were removed.
    pub expired: [u32; 4],
    /// Connections that remain.
    pub connections: u32,
    /// Connections that were removed.
    pub ended: u32,
    /// Whether flows of each class, TCP and all others, have gone to the spill and may still stand there.
    pub spilled: [bool; 2],
}

impl Swept {
    /// Each table with its entries that remain and those that were removed.
    pub fn tables(&self) -> impl Iterator<Item = (MapName, u32, u32)> {
        let flows =
            FLOW_TABLES.into_iter().zip(self.entries).zip(self.expired).map(|((table, left), gone)| (table, left, gone));
        flows.chain([(MapName::Connections, self.connections, self.ended)])
    }
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
            let (mut interval, mut renewal) = (SWEEP_INTERVAL, Renewal::default());
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let swept = sweep(&flows, &timeouts, now);
                interval = swept.as_ref().map_or(SWEEP_INTERVAL, |swept| next_interval(&flows, swept));
                report(swept);
                if let Err(error) = renewal.step(&flows) {
                    report(Err(error));
                }
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

fn next_interval(flows: &impl Flows, swept: &Swept) -> Duration {
    let busy = swept.tables().any(|(table, entries, _)| entries > flows.capacity(table) / 2);
    if busy { BUSY_INTERVAL } else { SWEEP_INTERVAL }
}

/// One sweep over all tables.
pub fn sweep(flows: &impl Flows, timeouts: &Timeouts, clock: impl Fn() -> u32) -> Result<Swept, MapError> {
    let mut swept = Swept::default();
    let sweep = Sweep { flows, timeouts, clock: &clock, hasher: RandomState::new() };
    let halves = swept.entries.chunks_mut(2).zip(swept.expired.chunks_mut(2));
    for ((class, tables), (entries, expired)) in [Class::Tcp, Class::Any].into_iter().zip(FLOW_TABLES.chunks(2)).zip(halves) {
        swept.spilled[class as usize] = sweep.class(class, tables, entries, expired)?;
    }
    (swept.connections, swept.ended) = sweep.connections()?;
    Ok(swept)
}

struct Sweep<'a, F, C> {
    flows: &'a F,
    timeouts: &'a Timeouts,
    clock: &'a C,
    hasher: RandomState,
}

/// Flows by identity, and how many of a class's table are embryonic.
#[derive(Default)]
struct Found {
    flows: HashMap<u64, Known>,
    embryonic: i64,
}

/// A flow, and whether it stands in the class's table rather than in the spill.
struct Known {
    state: FlowState,
    in_table: bool,
}

impl<F: Flows, C: Fn() -> u32> Sweep<'_, F, C> {
    /// The connections. How many remain, and how many were removed.
    fn connections(&self) -> Result<(u32, u32), MapError> {
        let (found, now) = (self.find_connections()?, (self.clock)());
        let count = found.len() as u32;
        let is_full = count > self.flows.capacity(MapName::Connections) / 4 * 3;
        let timeouts = if is_full { self.timeouts.hurried() } else { *self.timeouts };
        if !found.iter().any(|connection| connection.is_expired(now, &timeouts)) {
            return Ok((count, 0));
        }
        let ended = self.end_connections(&timeouts)?;
        Ok((count.saturating_sub(ended), ended))
    }

    fn find_connections(&self) -> Result<Vec<FlowState>, MapError> {
        let mut found = Vec::new();
        self.flows.walk_connections(&mut |_, connections| found.extend(connections.iter().map(FlowState::of_connection)))?;
        Ok(found)
    }

    /// Removes connections that are over, and says how many there were. Each is looked at again just before.
    fn end_connections(&self, timeouts: &Timeouts) -> Result<u32, MapError> {
        let (mut ended, mut failed) = (0, Ok(()));
        self.flows.walk_connections(&mut |clients, connections| {
            let now = (self.clock)();
            let states = connections.iter().map(FlowState::of_connection);
            let over = clients.iter().zip(states).filter(|(_, state)| state.is_expired(now, timeouts));
            let (clients, states): (Vec<End>, Vec<FlowState>) = over.unzip();
            if failed.is_ok() && !clients.is_empty() {
                failed = self.flows.remove_connections(&clients);
                ended += clients.len() as u32;
                let embryonic = states.iter().filter(|state| state.is_embryonic()).count();
                self.flows.count_embryonic(Class::Tcp, -(embryonic as i64));
            }
        })?;
        failed.map(|()| ended)
    }

    /// The table of a class and its spill. Whether the spill was in use.
    fn class(&self, class: Class, tables: &[MapName], entries: &mut [u32], expired: &mut [u32]) -> Result<bool, MapError> {
        let (began, before) = ((self.clock)(), self.flows.room(class));
        let mut found = self.find(tables, entries)?;
        if class == Class::Tcp {
            found.embryonic += self.find_connections()?.iter().filter(|connection| connection.is_embryonic()).count() as i64;
        }
        self.put_right(class, found.embryonic, [before, self.flows.room(class)]);
        let now = (self.clock)();
        let crowded = found.embryonic > i64::from(before.quota) / 4 * 3;
        let room = Room { entries: entries[0], capacity: self.flows.capacity(tables[0]), crowded };
        let in_table = found.flows.values().filter(|flow| flow.in_table).map(|flow| &flow.state);
        let timeouts = self.timeouts.under_pressure(room, in_table, now);
        found.flows.retain(|_, flow| flow.state.is_expired(now, &timeouts));
        if !found.flows.is_empty() {
            for ((table, entries), expired) in tables.iter().zip(entries.iter_mut()).zip(expired) {
                *expired = self.remove(*table, class, &found.flows, &timeouts)?;
                *entries = entries.saturating_sub(*expired);
            }
        }
        if before.spills() && entries[1] == 0 && began.wrapping_sub(before.spilled) >= NOTED_TO_MADE {
            self.flows.end_spill(class, before);
        }
        Ok(before.spills())
    }

    /// The flows of some tables.
    fn find(&self, tables: &[MapName], entries: &mut [u32]) -> Result<Found, MapError> {
        let mut found = Found::default();
        for (table, count) in tables.iter().zip(entries) {
            self.flows.walk(*table, &mut |keys, values| {
                *count += keys.len() as u32;
                for (key, entry) in keys.iter().zip(values) {
                    let (state, in_table) = (FlowState::of(entry), *table == tables[0]);
                    found.embryonic += i64::from(in_table && state.is_embryonic());
                    let flow = found.flows.entry(self.identity(key, entry)).or_insert(Known { state, in_table });
                    *flow = Known { state: flow.state.with(state), in_table: flow.in_table || in_table };
                }
            })?;
        }
        Ok(found)
    }

    /// Corrects a number of embryonic flows that two CPUs have counted twice, or that an agent left over which was killed.
    fn put_right(&self, class: Class, found: i64, counted: [FlowRoom; 2]) {
        let counted = counted.map(|room| room.embryonic.cast_signed());
        let (low, high) = (counted[0].min(counted[1]) - TOLERANCE, counted[0].max(counted[1]) + TOLERANCE);
        let off = found - found.clamp(low, high);
        if off != 0 {
            self.flows.count_embryonic(class, off);
        }
    }

    /// Removes the entries of flows that are over, and says how many there were.
    fn remove(&self, table: MapName, class: Class, over: &HashMap<u64, Known>, timeouts: &Timeouts) -> Result<u32, MapError> {
        let (mut removed, mut failed) = (0, Ok(()));
        self.flows.walk(table, &mut |keys, values| {
            let now = (self.clock)();
            let is_over = |key: &Tuple, entry: &Flow| {
                let flow = over.get(&self.identity(key, entry));
                flow.is_some_and(|flow| flow.state.with(FlowState::of(entry)).is_expired(now, timeouts))
            };
            let (keys, entries): (Vec<Tuple>, Vec<&Flow>) =
                keys.iter().zip(values).filter(|(key, entry)| is_over(key, entry)).unzip();
            if failed.is_ok() && !keys.is_empty() {
                failed = self.flows.remove(table, &keys);
                removed += keys.len() as u32;
                let embryonic = entries.iter().filter(|entry| FlowState::of(entry).is_embryonic()).count();
                if embryonic > 0 && FLOW_TABLES.iter().step_by(2).any(|main| *main == table) {
                    self.flows.count_embryonic(class, -(embryonic as i64));
                }
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
#[path = "sweep_tests.rs"]
mod tests;

//! FLOW_ROOM as the agent uses it: it sets how many flows that are not established each class's table takes, and puts right how
//! many there are. Programs count them; nobody but the agent ends a spill.

use super::pins::{self, Access, PinError};
use super::{Capacity, MapName, Mapping, Memory};
use proxy_common::abi::FlowRoom;
use proxy_common::lb::Class;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The pinned map.
#[derive(Debug)]
pub(super) struct Rooms(Mapping);

const WORDS: usize = size_of::<FlowRoom>() / size_of::<u64>();
/// A quarter of a table's entries, of which a flow has two.
const ENTRIES_PER_PLACE: u32 = 8;

impl Rooms {
    /// Opens the map pinned below `bpffs`.
    pub(super) fn open(bpffs: &Path) -> Result<Self, PinError> {
        let map = MapName::FlowRoom;
        let (fd, shape) = pins::open(bpffs, map.as_str(), map.shape(), Access::Write)?;
        let bytes = shape.max_entries as usize * size_of::<FlowRoom>();
        let mapping = Mapping::writable(&fd, bytes)
            .map_err(|error| PinError::Mapping { path: bpffs.join(pins::FOLDER).join(map.as_str()), error })?;
        Ok(Self(mapping))
    }

    /// Sets how many embryonic flows each table takes.
    pub(super) fn set_quotas(&self, capacity: &Capacity) {
        for (class, entries) in [(Class::Tcp, capacity.flows), (Class::Any, capacity.flows_any)] {
            let quota = u64::from(entries / ENTRIES_PER_PLACE);
            let update = |word: u64| Some(((word >> 32) << 32) | quota);
            let _ = self.quota_and_spill(class).fetch_update(Ordering::AcqRel, Ordering::Relaxed, update);
        }
    }

    /// A class's value.
    pub(super) fn get(&self, class: Class) -> FlowRoom {
        let [quota, spilled]: [u32; 2] = bytemuck::cast(self.quota_and_spill(class).load(Ordering::Acquire));
        FlowRoom { embryonic: self.embryonic(class).load(Ordering::Acquire), quota, spilled, zero: [0; 6] }
    }

    /// Adds to the number of embryonic flows.
    pub(super) fn adjust(&self, class: Class, by: i64) {
        self.embryonic(class).fetch_add(by.cast_unsigned(), Ordering::AcqRel);
    }

    /// Ends the spill, unless a flow went there since `seen` was read.
    pub(super) fn end_spill(&self, class: Class, seen: FlowRoom) {
        let word = |spilled| bytemuck::cast::<[u32; 2], u64>([seen.quota, spilled]);
        let _ = self.quota_and_spill(class).compare_exchange(word(seen.spilled), word(0), Ordering::AcqRel, Ordering::Relaxed);
    }

    fn embryonic(&self, class: Class) -> &AtomicU64 {
        &self.0.words()[class as usize * WORDS]
    }

    fn quota_and_spill(&self, class: Class) -> &AtomicU64 {
        &self.0.words()[class as usize * WORDS + 1]
    }
}

//! The flow tables as the agent uses them: read in bulk, and relieved of what is over. The kernel alone makes entries.

use super::kernel::hash;
use super::pins::{Access, PinError};
use super::reader::FLOW_TABLES;
use super::room::Rooms;
use super::{HashTable, MapError, MapName};
use proxy_common::abi::{Flow, FlowRoom, Tuple};
use proxy_common::lb::Class;
use std::ops::ControlFlow;
use std::path::Path;

/// Flow tables to read and to remove from.
pub trait Flows {
    /// Hands out all entries of a table, some thousand at a time. Entries that come or go meanwhile may be there or not.
    fn walk(&self, table: MapName, visit: &mut dyn FnMut(&[Tuple], &[Flow])) -> Result<(), MapError>;
    /// Removes entries; those that are not there are passed over.
    fn remove(&self, table: MapName, keys: &[Tuple]) -> Result<(), MapError>;
    /// How many entries fit into a table.
    fn capacity(&self, table: MapName) -> u32;
    /// FLOW_ROOM.
    fn room(&self, class: Class) -> FlowRoom;
    /// FLOW_ROOM: adds to the number of embryonic flows.
    fn count_embryonic(&self, class: Class, by: i64);
    /// FLOW_ROOM: ends the spill, unless a flow went there since `seen` was read.
    fn end_spill(&self, class: Class, seen: FlowRoom);
}

/// Pinned flow tables.
#[derive(Debug)]
pub struct KernelFlows {
    tables: [HashTable<Tuple, Flow>; 4],
    rooms: Rooms,
}

impl KernelFlows {
    /// Opens the tables pinned below `bpffs`.
    pub fn open(bpffs: &Path) -> Result<Self, PinError> {
        let [a, b, c, d] = FLOW_TABLES;
        let open = |map| hash(bpffs, map, Access::Write);
        Ok(Self { tables: [open(a)?, open(b)?, open(c)?, open(d)?], rooms: Rooms::open(bpffs)? })
    }

    /// Puts entries in as programs would; for tests and figures of the sweep.
    pub fn fill(&self, table: MapName, entries: &[(Tuple, Flow)]) -> Result<(), MapError> {
        self.table(table).try_for_each(|table| table.insert(entries).map_err(|partial| partial.error))
    }

    fn table(&self, name: MapName) -> impl Iterator<Item = &HashTable<Tuple, Flow>> {
        self.tables.iter().filter(move |table| table.name() == name)
    }
}

impl Flows for KernelFlows {
    fn walk(&self, table: MapName, visit: &mut dyn FnMut(&[Tuple], &[Flow])) -> Result<(), MapError> {
        for table in self.table(table) {
            table.walk(|keys, values| {
                visit(keys, values);
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }

    fn remove(&self, table: MapName, keys: &[Tuple]) -> Result<(), MapError> {
        self.table(table).try_for_each(|table| table.remove(keys).map_err(|partial| partial.error))
    }

    fn capacity(&self, table: MapName) -> u32 {
        self.table(table).map(HashTable::capacity).sum()
    }

    fn room(&self, class: Class) -> FlowRoom {
        self.rooms.get(class)
    }

    fn count_embryonic(&self, class: Class, by: i64) {
        self.rooms.adjust(class, by);
    }

    fn end_spill(&self, class: Class, seen: FlowRoom) {
        self.rooms.end_spill(class, seen);
    }
}

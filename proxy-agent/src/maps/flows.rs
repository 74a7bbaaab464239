//! Connections and flows as the agent uses them: read in bulk, and relieved of what is over. The kernel alone makes entries.

use super::filter::Filter;
use super::kernel::hash;
use super::pins::{Access, PinError};
use super::reader::FLOW_TABLES;
use super::room::Rooms;
use super::{HashTable, MapError, MapName};
use proxy_common::abi::{Connection, End, Flow, FlowRoom, Tuple};
use proxy_common::lb::Class;
use std::ops::ControlFlow;
use std::path::Path;

/// Connections and flow tables to read and to remove from.
pub trait Flows {
    /// Hands out all entries of a table, some thousand at a time. Entries that come or go meanwhile may be there or not.
    fn walk(&self, table: MapName, visit: &mut dyn FnMut(&[Tuple], &[Flow])) -> Result<(), MapError>;
    /// Removes entries; those that are not there are passed over.
    fn remove(&self, table: MapName, keys: &[Tuple]) -> Result<(), MapError>;
    /// Hands out all connections, some thousand at a time. Those that come or go meanwhile may be there or not.
    fn walk_connections(&self, visit: &mut dyn FnMut(&[End], &[Connection])) -> Result<(), MapError>;
    /// Removes connections; those that are not there are passed over.
    fn remove_connections(&self, clients: &[End]) -> Result<(), MapError>;
    /// How many entries fit into a table.
    fn capacity(&self, table: MapName) -> u32;
    /// FLOW_ROOM.
    fn room(&self, class: Class) -> FlowRoom;
    /// FLOW_ROOM: adds to the number of embryonic flows.
    fn count_embryonic(&self, class: Class, by: i64);
    /// FLOW_ROOM: ends the spill, unless a flow went there since `seen` was read.
    fn end_spill(&self, class: Class, seen: FlowRoom);
    /// FLOW_FILTER: clears the half that is not asked.
    fn clear_filter(&self);
    /// FLOW_FILTER: notes keys in the half that is not asked.
    fn note_in_filter(&self, keys: &[Tuple]);
    /// FLOW_FILTER: has programs ask the other half.
    fn ask_other_filter(&self);
}

/// The pinned tables.
#[derive(Debug)]
pub struct KernelFlows {
    connections: HashTable<End, Connection>,
    tables: [HashTable<Tuple, Flow>; 4],
    rooms: Rooms,
    filter: Filter,
}

impl KernelFlows {
    /// Opens the tables pinned below `bpffs`.
    pub fn open(bpffs: &Path) -> Result<Self, PinError> {
        let [a, b, c, d] = FLOW_TABLES;
        let open = |map| hash(bpffs, map, Access::Write);
        Ok(Self {
            connections: hash(bpffs, MapName::Connections, Access::Write)?,
            tables: [open(a)?, open(b)?, open(c)?, open(d)?],
            rooms: Rooms::open(bpffs)?,
            filter: Filter::open(bpffs)?,
        })
    }

    /// Puts connections in; for tests of the sweep.
    pub fn fill_connections(&self, entries: &[(End, Connection)]) -> Result<(), MapError> {
        self.connections.insert(entries).map_err(|partial| partial.error)
    }

    /// Puts entries in; for tests of the sweep. Programs don't look for them before the filter's renewal.
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

    fn walk_connections(&self, visit: &mut dyn FnMut(&[End], &[Connection])) -> Result<(), MapError> {
        self.connections.walk(|clients, connections| {
            visit(clients, connections);
            ControlFlow::Continue(())
        })
    }

    fn remove_connections(&self, clients: &[End]) -> Result<(), MapError> {
        self.connections.remove(clients).map_err(|partial| partial.error)
    }

    fn capacity(&self, table: MapName) -> u32 {
        if table == MapName::Connections {
            return self.connections.capacity();
        }
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

    fn clear_filter(&self) {
        self.filter.clear();
    }

    fn note_in_filter(&self, keys: &[Tuple]) {
        self.filter.note(keys);
    }

    fn ask_other_filter(&self) {
        self.filter.ask_other();
    }
}

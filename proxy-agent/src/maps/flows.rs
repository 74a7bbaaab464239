//! The flow tables as the agent uses them: read in bulk, and relieved of what is over. The kernel alone makes entries.

use super::kernel::hash;
use super::pins::{Access, PinError};
use super::reader::FLOW_TABLES;
use super::{HashTable, MapError, MapName};
use proxy_common::abi::{Flow, Tuple};
use std::ops::ControlFlow;
use std::path::Path;

/// Flow tables to read and to remove from.
pub trait Flows {
    /// Hands out all entries of a table, some thousand at a time. Entries that come or go meanwhile may be there or not.
    fn walk(&self, table: MapName, visit: &mut dyn FnMut(&[Tuple], &[Flow])) -> Result<(), MapError>;
    /// Removes entries; those that are not there are passed over.
    fn remove(&self, table: MapName, keys: &[Tuple]) -> Result<(), MapError>;
}

/// Pinned flow tables.
#[derive(Debug)]
pub struct KernelFlows([HashTable<Tuple, Flow>; 4]);

impl KernelFlows {
    /// Opens the tables pinned below `bpffs`.
    pub fn open(bpffs: &Path) -> Result<Self, PinError> {
        let [a, b, c, d] = FLOW_TABLES;
        let open = |map| hash(bpffs, map, Access::Write);
        Ok(Self([open(a)?, open(b)?, open(c)?, open(d)?]))
    }

    /// Puts entries in as programs would; for tests and figures of the sweep.
    pub fn fill(&self, table: MapName, entries: &[(Tuple, Flow)]) -> Result<(), MapError> {
        self.table(table).try_for_each(|table| table.insert(entries).map_err(|partial| partial.error))
    }

    fn table(&self, name: MapName) -> impl Iterator<Item = &HashTable<Tuple, Flow>> {
        self.0.iter().filter(move |table| table.name() == name)
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
}

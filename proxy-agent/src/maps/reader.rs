//! The pinned tables for those who only look: the CLI and the metrics. Works while no agent runs, and never writes.

use super::kernel::{CpuCounters, KernelMaps, hash};
use super::pins::{self, Access, PinError};
use super::view::{self, ServiceView};
use super::{Array, HashTable, MapError, MapName, Mapping, Read};
use proxy_common::abi::{
    Addr, AddressFlags, Config, Connection, Counter, DeviceFlags, End, Flow, Hook, PeerKey, PeerValue, Reason, ServiceId,
    ServiceName, Tuple,
};
use std::ops::ControlFlow;
use std::path::Path;

/// All pinned tables, read-only.
#[derive(Debug)]
pub struct Reader {
    tables: KernelMaps,
    config: Array<Mapping, Config>,
    counters: CpuCounters,
    connections: HashTable<End, Connection>,
    flows: [HashTable<Tuple, Flow>; 4],
    peers: HashTable<PeerKey, PeerValue>,
    addresses: HashTable<Addr, AddressFlags>,
    devices: HashTable<u32, DeviceFlags>,
}

/// How full a table is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableUse {
    /// The table.
    pub map: MapName,
    /// Entries in use.
    pub used: u32,
    /// Entries that fit.
    pub capacity: u32,
}

/// The flow tables.
pub const FLOW_TABLES: [MapName; 4] = [MapName::Flows, MapName::FlowsSpill, MapName::FlowsAny, MapName::FlowsAnySpill];

impl Reader {
    /// Opens the tables pinned below `bpffs`.
    pub fn open(bpffs: &Path) -> Result<Self, PinError> {
        const READ: Access = Access::Read;
        let [a, b, c, d] = FLOW_TABLES;
        Ok(Self {
            tables: KernelMaps::open(bpffs, READ)?,
            config: pins::array(bpffs, MapName::Config, READ)?,
            counters: CpuCounters::open(bpffs, MapName::Counters, READ)?,
            connections: hash(bpffs, MapName::Connections, READ)?,
            flows: [hash(bpffs, a, READ)?, hash(bpffs, b, READ)?, hash(bpffs, c, READ)?, hash(bpffs, d, READ)?],
            peers: hash(bpffs, MapName::UdpPeers, READ)?,
            addresses: hash(bpffs, MapName::NodeAddresses, READ)?,
            devices: hash(bpffs, MapName::Devices, READ)?,
        })
    }

    /// The tables themselves.
    pub const fn tables(&self) -> &impl Read {
        &self.tables
    }

    /// All services in force, sorted by name.
    pub fn services(&self) -> Result<Vec<ServiceView>, MapError> {
        view::services(&self.tables)
    }

    /// The names of all services in force.
    pub fn names(&self) -> impl Iterator<Item = (ServiceId, ServiceName)> {
        self.tables.in_force().map(|id| (id, self.tables.name(id)))
    }

    /// Connections to a service since it got its id.
    pub fn connections(&self, id: ServiceId) -> Result<u64, MapError> {
        self.tables.hashes.connections(id)
    }

    /// Verdicts of all CPUs, by hook and reason.
    pub fn counters(&self) -> Result<Vec<(Hook, Reason, Counter)>, MapError> {
        let mut all = Vec::with_capacity(Hook::ALL.len() * Reason::ALL.len());
        for &hook in Hook::ALL {
            for &reason in Reason::ALL {
                let [packets, bytes] = self.counters.sum::<2>(hook.slot(reason))?;
                all.push((hook, reason, Counter { packets, bytes }));
            }
        }
        Ok(all)
    }

    /// Hands out the entries of all flows, some thousand at a time, with the table they stand in, until `visit` breaks off; a
    /// connection as the two entries that it would have. Entries that come or go meanwhile may be there or not.
    pub fn flows(&self, mut visit: impl FnMut(MapName, &[Tuple], &[Flow]) -> ControlFlow<()>) -> Result<(), MapError> {
        let mut broke_off = ControlFlow::Continue(());
        self.connections.walk(|clients, connections| {
            let entries = clients.iter().zip(connections).flat_map(|(client, connection)| connection.entries(client));
            let (tuples, flows): (Vec<Tuple>, Vec<Flow>) = entries.unzip();
            broke_off = visit(MapName::Connections, &tuples, &flows);
            broke_off
        })?;
        if broke_off.is_break() {
            return Ok(());
        }
        for table in &self.flows {
            let mut broke_off = ControlFlow::Continue(());
            table.walk(|tuples, flows| {
                broke_off = visit(table.name(), tuples, flows);
                broke_off
            })?;
            if broke_off.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What programs know of the agent's settings.
    pub fn config(&self) -> Config {
        self.config.load(0)
    }

    /// The node's addresses, sorted.
    pub fn addresses(&self) -> Result<Vec<(Addr, AddressFlags)>, MapError> {
        let mut all = self.addresses.entries()?;
        all.sort_unstable_by_key(|(addr, _)| *addr);
        Ok(all)
    }

    /// The node's devices by index, sorted.
    pub fn devices(&self) -> Result<Vec<(u32, DeviceFlags)>, MapError> {
        let mut all = self.devices.entries()?;
        all.sort_unstable_by_key(|(index, _)| *index);
        Ok(all)
    }

    /// How full the tables are. Counts every entry: some ten milliseconds with large flow tables.
    pub fn usage(&self) -> Result<Vec<TableUse>, MapError> {
        let mut usage = self.mapped_usage()?;
        usage.push(TableUse { map: self.peers.name(), used: self.peers.count()?, capacity: self.peers.capacity() });
        let connections = &self.connections;
        usage.push(TableUse { map: connections.name(), used: connections.count()?, capacity: connections.capacity() });
        for table in &self.flows {
            usage.push(TableUse { map: table.name(), used: table.count()?, capacity: table.capacity() });
        }
        Ok(usage)
    }

    fn mapped_usage(&self) -> Result<Vec<TableUse>, MapError> {
        let capacity = self.tables.capacity();
        let descriptors = self.tables.in_force().filter_map(|id| self.tables.service(id).descriptor());
        let slots = descriptors.map(|index| self.tables.descriptor(index).room).sum();
        let backends = (0..capacity.backends).filter(|&id| self.is_backend(id)).count() as u32;
        let services = self.tables.in_force().count() as u32;
        Ok(vec![
            TableUse { map: MapName::Services, used: services, capacity: capacity.services },
            TableUse { map: MapName::Frontends, used: self.tables.frontends()?.len() as u32, capacity: capacity.frontends },
            TableUse {
                map: MapName::SourceRanges,
                used: self.tables.source_ranges()?.len() as u32,
                capacity: capacity.source_ranges,
            },
            TableUse { map: MapName::Backends, used: backends, capacity: capacity.backends },
            TableUse { map: MapName::Slots, used: slots, capacity: capacity.slots },
            TableUse { map: MapName::Descriptors, used: services, capacity: capacity.descriptors },
        ])
    }

    fn is_backend(&self, id: u32) -> bool {
        self.tables.backends.load(id).generation.0 != 0
    }
}

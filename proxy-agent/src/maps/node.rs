//! What programs know of the node: CONFIG, NODE_ADDRESSES and DEVICES, as the agent writes them.

use super::interest::Interest;
use super::kernel::hash;
use super::pins::{self, Access, PinError};
use super::{Array, HashTable, MapError, MapName, Mapping};
use bytemuck::Pod;
use proxy_common::abi::{ABI_VERSION, Addr, AddressFlags, Config, DeviceFlags, INTEREST_NODE};
use std::collections::HashMap;
use std::hash::Hash;
use std::path::Path;

/// The node's tables.
#[derive(Debug)]
pub struct NodeMaps {
    config: Array<Mapping, Config>,
    addresses: HashTable<Addr, AddressFlags>,
    devices: HashTable<u32, DeviceFlags>,
    interest: Interest,
}

impl NodeMaps {
    /// Opens the tables pinned below `bpffs`.
    pub fn open(bpffs: &Path) -> Result<Self, PinError> {
        pins::check_abi(bpffs)?;
        Ok(Self {
            config: pins::array(bpffs, MapName::Config, Access::Write)?,
            addresses: hash(bpffs, MapName::NodeAddresses, Access::Write)?,
            devices: hash(bpffs, MapName::Devices, Access::Write)?,
            interest: Interest::open(bpffs)?,
        })
    }

    /// The settings in force.
    pub fn config(&self) -> Config {
        self.config.load(0)
    }

    /// Puts settings in force, word by word. The layout's version is always this agent's.
    pub fn set_config(&mut self, config: Config) {
        self.config.store(0, Config { abi: ABI_VERSION, ..config });
    }

    /// Makes NODE_ADDRESSES hold exactly `wanted`; what comes is in place before what goes is taken out.
    pub fn set_addresses(&mut self, wanted: &HashMap<Addr, AddressFlags>) -> Result<(), MapError> {
        wanted.keys().for_each(|addr| self.interest.mark(addr, INTEREST_NODE));
        replace(&self.addresses, wanted)
    }

    /// Makes DEVICES hold exactly `wanted`; what comes is in place before what goes is taken out.
    pub fn set_devices(&mut self, wanted: &HashMap<u32, DeviceFlags>) -> Result<(), MapError> {
        replace(&self.devices, wanted)
    }
}

fn replace<K: Pod + Eq + Hash, V: Pod + PartialEq>(table: &HashTable<K, V>, wanted: &HashMap<K, V>) -> Result<(), MapError> {
    let held: HashMap<K, V> = table.entries()?.into_iter().collect();
    let comes: Vec<(K, V)> =
        wanted.iter().filter(|(key, value)| held.get(key) != Some(value)).map(|(key, value)| (*key, *value)).collect();
    let goes: Vec<K> = held.into_keys().filter(|key| !wanted.contains_key(key)).collect();
    table.insert(&comes).map_err(|partial| partial.error)?;
    table.remove(&goes).map_err(|partial| partial.error)
}

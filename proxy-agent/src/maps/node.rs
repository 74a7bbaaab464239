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
        replace(&self.addresses, wanted).map(drop)
    }

    /// Makes DEVICES hold exactly `wanted`; what comes is in place before what goes is taken out. What stood there otherwise may stand in
    /// next hops still, for as long as the epoch lasts.
    pub fn set_devices(&mut self, wanted: &HashMap<u32, DeviceFlags>) -> Result<(), MapError> {
        let changed = replace(&self.devices, wanted);
        if !matches!(changed, Ok(false)) {
            self.raise_epoch();
        }
        changed.map(drop)
    }

    /// Takes the flag of an XDP target off all devices but these. As with [`Self::set_devices`], next hops are asked for again.
    pub fn keep_targets(&mut self, keep: &[u32]) -> Result<(), MapError> {
        let held = self.devices.entries()?;
        let left = |(device, flags): (u32, DeviceFlags)| {
            (device, if keep.contains(&device) { flags } else { flags.without(DeviceFlags::XDP_TARGET) })
        };
        self.set_devices(&held.into_iter().map(left).collect())
    }

    /// Makes programs ask again for every next hop.
    fn raise_epoch(&self) {
        let settings = self.config();
        self.config.store(0, Config { epoch: settings.epoch.wrapping_add(1), ..settings });
    }
}

/// Whether anything was to be done.
fn replace<K: Pod + Eq + Hash, V: Pod + PartialEq>(table: &HashTable<K, V>, wanted: &HashMap<K, V>) -> Result<bool, MapError> {
    let held: HashMap<K, V> = table.entries()?.into_iter().collect();
    let comes: Vec<(K, V)> =
        wanted.iter().filter(|(key, value)| held.get(key) != Some(value)).map(|(key, value)| (*key, *value)).collect();
    let goes: Vec<K> = held.into_keys().filter(|key| !wanted.contains_key(key)).collect();
    table.insert(&comes).map_err(|partial| partial.error)?;
    table.remove(&goes).map_err(|partial| partial.error)?;
    Ok(!comes.is_empty() || !goes.is_empty())
}

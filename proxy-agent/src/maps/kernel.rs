//! The tables that programs read: pinned maps, mapped where they are arrays, in batches where they are hash tables.

use super::interest::Interest;
use super::pins::{self, Access, PinError};
use super::sys;
use super::tables::{HashRead, HashWrite, Tables};
use super::{Capacity, HashTable, MapError, MapName, Mapping, Partial};
use bytemuck::Pod;
use proxy_common::abi::{Frontend, FrontendKey, INTEREST_FRONTEND, ServiceId, SourceRange};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Pinned tables.
pub type KernelMaps = Tables<Mapping, KernelHashes>;

/// Pinned hash tables.
#[derive(Debug)]
pub struct KernelHashes {
    frontends: HashTable<FrontendKey, Frontend>,
    source_ranges: HashTable<SourceRange, u8>,
    counters: CpuCounters,
    interest: Option<Interest>,
}

/// Values of every CPU.
#[derive(Debug)]
pub(super) struct CpuCounters {
    fd: OwnedFd,
    map: MapName,
    cpus: usize,
}

impl KernelMaps {
    /// Opens the tables pinned below `bpffs`.
    pub fn open(bpffs: &Path, access: Access) -> Result<Self, PinError> {
        pins::check_abi(bpffs)?;
        let hashes = KernelHashes {
            frontends: hash(bpffs, MapName::Frontends, access)?,
            source_ranges: hash(bpffs, MapName::SourceRanges, access)?,
            counters: CpuCounters::open(bpffs, MapName::ServiceCounters, access)?,
            interest: if access == Access::Write { Some(Interest::open(bpffs)?) } else { None },
        };
        let tables = Self {
            capacity: capacity(bpffs, Capacity::for_this_machine())?,
            services: pins::array(bpffs, MapName::Services, access)?,
            descriptors: pins::array(bpffs, MapName::Descriptors, access)?,
            slots: pins::array(bpffs, MapName::Slots, access)?,
            backends: pins::array(bpffs, MapName::Backends, access)?,
            states: pins::array(bpffs, MapName::BackendStates, access)?,
            names: pins::array(bpffs, MapName::Names, access)?,
            hashes,
        };
        Ok(tables)
    }
}

/// Opens a pinned hash table or trie.
pub(super) fn hash<K: Pod, V: Pod>(bpffs: &Path, map: MapName, access: Access) -> Result<HashTable<K, V>, PinError> {
    let (fd, shape) = pins::open(bpffs, map.as_str(), map.shape(), access)?;
    Ok(HashTable::new(fd, map, shape.max_entries))
}

/// `wanted`, but as the tables pinned below `bpffs` have it where there are some. Tables that go together are as large as the
/// smallest of them.
pub(super) fn capacity(bpffs: &Path, mut wanted: Capacity) -> Result<Capacity, PinError> {
    let mut pinned = Vec::new();
    for &map in MapName::ALL {
        match pins::open(bpffs, map.as_str(), map.shape(), Access::Read) {
            Ok((_, shape)) => pinned.push((map, shape.max_entries)),
            Err(PinError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    pinned.sort_unstable_by_key(|&(_, entries)| std::cmp::Reverse(entries));
    pinned.into_iter().for_each(|(map, entries)| wanted.adopt(map, entries));
    Ok(wanted)
}

impl CpuCounters {
    /// Opens a pinned array of counters.
    pub(super) fn open(bpffs: &Path, map: MapName, access: Access) -> Result<Self, PinError> {
        let (fd, _) = pins::open(bpffs, map.as_str(), map.shape(), access)?;
        let cpus = aya::util::nr_cpus().map_err(|(path, error)| PinError::Mapping { path: path.into(), error })?;
        Ok(Self { fd, map, cpus })
    }

    /// The sums over all CPUs of the words under `index`.
    pub(super) fn sum<const WORDS: usize>(&self, index: u32) -> Result<[u64; WORDS], MapError> {
        let mut values = vec![0u64; WORDS * self.cpus];
        sys::lookup_cpus(&self.fd, &index, &mut values).map_err(|errno| MapError::Kernel {
            map: self.map,
            call: "lookup",
            errno,
        })?;
        Ok(std::array::from_fn(|word| values.iter().skip(word).step_by(WORDS).sum()))
    }

    fn clear(&self, index: u32) -> Result<(), MapError> {
        sys::update_cpus(&self.fd, &index, &vec![0u64; self.cpus]).map_err(|errno| MapError::Kernel {
            map: self.map,
            call: "update",
            errno,
        })
    }
}

impl KernelHashes {
    /// Connections to a service so far.
    pub(super) fn connections(&self, id: ServiceId) -> Result<u64, MapError> {
        self.counters.sum::<1>(id.0).map(|[connections]| connections)
    }
}

impl HashRead for KernelHashes {
    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError> {
        self.frontends.entries()
    }

    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError> {
        Ok(self.source_ranges.entries()?.into_iter().map(|(range, _)| range).collect())
    }
}

impl HashWrite for KernelHashes {
    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial> {
        if let Some(interest) = &self.interest {
            entries.iter().for_each(|(key, _)| interest.mark(&key.addr, INTEREST_FRONTEND));
        }
        self.frontends.insert(entries)
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial> {
        self.frontends.remove(keys)
    }

    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        let entries: Vec<(SourceRange, u8)> = ranges.iter().map(|range| (*range, 0)).collect();
        self.source_ranges.insert(&entries)
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        self.source_ranges.remove(ranges)
    }

    fn clear_counters(&mut self, ids: &[ServiceId]) -> Result<(), Partial> {
        for (done, id) in ids.iter().enumerate() {
            self.counters.clear(id.0).map_err(|error| Partial { done, error })?;
        }
        Ok(())
    }
}

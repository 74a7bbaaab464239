//! The tables in the process's own memory. Clones share them, so that a test can read as a program does while another writes.

use super::tables::{HashRead, HashWrite, Tables};
use super::{Array, Capacity, MapError, MapName, Partial};
use bytemuck::Pod;
use proxy_common::abi::{Frontend, FrontendKey, ServiceId, SourceRange};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Heap = Arc<[AtomicU64]>;
type Shared<K, V> = Arc<Mutex<HashMap<K, V>>>;

/// Tables that no program reads.
pub type MemoryMaps = Tables<Heap, MemoryHashes>;

/// Hash tables in the process's own memory.
#[derive(Clone, Debug)]
pub struct MemoryHashes {
    capacity: Capacity,
    frontends: Shared<FrontendKey, Frontend>,
    source_ranges: Shared<SourceRange, ()>,
}

impl MemoryMaps {
    /// Empty tables.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            services: heap(capacity.services),
            descriptors: heap(capacity.descriptors),
            slots: heap(capacity.slots),
            backends: heap(capacity.backends),
            states: heap(capacity.backends),
            names: heap(capacity.services),
            hashes: MemoryHashes { capacity, frontends: Shared::default(), source_ranges: Shared::default() },
            capacity,
        }
    }

    /// What clients find under `key`.
    pub fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        lock(&self.hashes.frontends).get(key).copied()
    }
}

impl HashRead for MemoryHashes {
    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError> {
        Ok(all(&self.frontends))
    }

    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError> {
        Ok(lock(&self.source_ranges).keys().copied().collect())
    }
}

impl HashWrite for MemoryHashes {
    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial> {
        insert(&self.frontends, entries, MapName::Frontends, self.capacity.frontends)
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial> {
        remove(&self.frontends, keys);
        Ok(())
    }

    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        let entries: Vec<(SourceRange, ())> = ranges.iter().map(|range| (*range, ())).collect();
        insert(&self.source_ranges, &entries, MapName::SourceRanges, self.capacity.source_ranges)
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        remove(&self.source_ranges, ranges);
        Ok(())
    }

    fn clear_counters(&mut self, _: &[ServiceId]) -> Result<(), Partial> {
        Ok(())
    }
}

fn heap<T: Pod>(len: u32) -> Array<Heap, T> {
    let words = len as usize * Array::<Heap, T>::STRIDE;
    Array::new((0..words).map(|_| AtomicU64::new(0)).collect(), len)
}

fn lock<K, V>(shared: &Shared<K, V>) -> MutexGuard<'_, HashMap<K, V>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn all<K: Copy, V: Copy>(shared: &Shared<K, V>) -> Vec<(K, V)> {
    lock(shared).iter().map(|(key, value)| (*key, *value)).collect()
}

fn insert<K: Hash + Eq + Copy, V: Copy>(
    shared: &Shared<K, V>,
    entries: &[(K, V)],
    map: MapName,
    capacity: u32,
) -> Result<(), Partial> {
    let mut held = lock(shared);
    for (done, (key, value)) in entries.iter().enumerate() {
        if held.len() >= capacity as usize && !held.contains_key(key) {
            return Err(Partial { done, error: MapError::Full { map, capacity } });
        }
        held.insert(*key, *value);
    }
    Ok(())
}

fn remove<K: Hash + Eq, V>(shared: &Shared<K, V>, keys: &[K]) {
    let mut held = lock(shared);
    for key in keys {
        held.remove(key);
    }
}

//! One hash table or trie of the kernel: typed keys and values over a descriptor, read and written in batches.

use super::sys::{self, Cursor};
use super::{MapError, MapName, Partial};
use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

/// A hash table, a least-recently-used one, or a trie, whose keys it walks as they are.
#[derive(Debug)]
pub struct HashTable<K, V> {
    fd: OwnedFd,
    map: MapName,
    capacity: u32,
    entry: PhantomData<(K, V)>,
}

/// Entries of a call: enough to make its own cost small, few enough that little time passes between reading and removing.
const CHUNK: usize = 512;

impl<K: Pod, V: Pod> HashTable<K, V> {
    /// The table behind `fd`, whose keys and values were found to be of the right size.
    pub(super) const fn new(fd: OwnedFd, map: MapName, capacity: u32) -> Self {
        Self { fd, map, capacity, entry: PhantomData }
    }

    /// Which table it is.
    pub const fn name(&self) -> MapName {
        self.map
    }

    /// Number of entries that fit.
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Inserts or replaces entries.
    pub fn insert(&self, entries: &[(K, V)]) -> Result<(), Partial> {
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for (index, chunk) in entries.chunks(CHUNK).enumerate() {
            keys.clear();
            values.clear();
            keys.extend(chunk.iter().map(|(key, _)| *key));
            values.extend(chunk.iter().map(|(_, value)| *value));
            sys::update_batch(&self.fd, &keys, &values)
                .map_err(|(done, errno)| Partial { done: index * CHUNK + done, error: self.error("update", errno) })?;
        }
        Ok(())
    }

    /// Removes entries; those that are not there are passed over.
    pub fn remove(&self, keys: &[K]) -> Result<(), Partial> {
        let mut done = 0;
        while done < keys.len() {
            let chunk = &keys[done..keys.len().min(done + CHUNK)];
            match sys::delete_batch(&self.fd, chunk) {
                Ok(()) => done += chunk.len(),
                Err((before, Errno::ENOENT)) => done += before + 1,
                Err((before, errno)) => return Err(Partial { done: done + before, error: self.error("delete", errno) }),
            }
        }
        Ok(())
    }

    /// All entries, in no order. Entries that come or go meanwhile may be there or not.
    pub fn entries(&self) -> Result<Vec<(K, V)>, MapError> {
        let mut all = Vec::new();
        self.walk(|keys, values| {
            all.extend(keys.iter().copied().zip(values.iter().copied()));
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// Number of entries.
    pub fn count(&self) -> Result<u32, MapError> {
        let mut count = 0;
        self.walk(|keys, _| {
            count += keys.len() as u32;
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Hands out all entries, some thousand at a time, until `visit` breaks off.
    pub fn walk(&self, mut visit: impl FnMut(&[K], &[V]) -> ControlFlow<()>) -> Result<(), MapError> {
        let mut size = CHUNK.min((self.capacity as usize).max(1));
        let (mut keys, mut values) = (vec![K::zeroed(); size], vec![V::zeroed(); size]);
        let mut cursor = Cursor::default();
        loop {
            match sys::next_batch(&self.fd, &mut cursor, &mut keys, &mut values) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    if visit(&keys[..count], &values[..count]).is_break() {
                        return Ok(());
                    }
                }
                Err(Errno::ENOSPC) => {
                    size *= 2;
                    keys.resize(size, Zeroable::zeroed());
                    values.resize(size, Zeroable::zeroed());
                }
                Err(errno) => return Err(self.error("lookup", errno)),
            }
        }
    }

    fn error(&self, call: &'static str, errno: Errno) -> MapError {
        match errno {
            // A trie says ENOSPC (`trie_update_elem` in kernel/bpf/lpm_trie.c).
            Errno::E2BIG | Errno::ENOSPC => MapError::Full { map: self.map, capacity: self.capacity },
            errno => MapError::Kernel { map: self.map, call, errno },
        }
    }
}

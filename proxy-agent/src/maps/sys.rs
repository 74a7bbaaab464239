//! Maps of bpf(2), raw: create, single values, whole batches (which aya 0.14 lacks). Nothing here knows what the bytes
//! mean; keys and values are [`Pod`], and their sizes were compared with the map's before anything else is called.
#![expect(unsafe_code, reason = "bpf(2) has no safe binding for batches and values of every CPU")]

use crate::bpf::{self, fd_of};
use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use std::mem::size_of_val;
use std::os::fd::{AsFd, OwnedFd};

pub use crate::bpf::{open, pin};

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const MAP_UPDATE_BATCH: libc::c_long = 26;
const MAP_DELETE_BATCH: libc::c_long = 27;

/// BPF_MAP_TYPE_HASH.
pub const HASH: u32 = 1;
/// BPF_MAP_TYPE_ARRAY.
pub const ARRAY: u32 = 2;
/// BPF_MAP_TYPE_PERCPU_ARRAY.
pub const PERCPU_ARRAY: u32 = 6;
/// BPF_MAP_TYPE_LRU_HASH.
pub const LRU_HASH: u32 = 9;
/// BPF_MAP_TYPE_LPM_TRIE.
pub const LPM_TRIE: u32 = 11;
/// BPF_MAP_TYPE_ARRAY_OF_MAPS.
pub const ARRAY_OF_MAPS: u32 = 12;
/// BPF_F_NO_PREALLOC.
pub const NO_PREALLOC: u32 = 1;
/// BPF_F_RDONLY: this descriptor reads only.
pub const RDONLY: u32 = 8;
/// BPF_F_MMAPABLE.
pub const MMAPABLE: u32 = 1 << 10;

/// What a map is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Shape {
    /// BPF_MAP_TYPE_*.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries.
    pub max_entries: u32,
    /// BPF_F_*.
    pub flags: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct CreateAttr {
    shape: Shape,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
    zero: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ElementAttr {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct BatchAttr {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

fn bpf<A: Pod>(command: libc::c_long, attr: &mut A) -> Result<libc::c_long, Errno> {
    // SAFETY: every caller in this file fills its pointers from slices that outlive the call and whose lengths it takes from the
    // map's own key and value sizes.
    unsafe { bpf::call(command, attr) }
}

fn address<T: ?Sized>(value: &T) -> u64 {
    std::ptr::from_ref(value).cast::<u8>() as u64
}

fn address_mut<T: ?Sized>(value: &mut T) -> u64 {
    std::ptr::from_mut(value).cast::<u8>() as u64
}

/// Creates a map.
pub fn create(name: &str, shape: Shape) -> Result<OwnedFd, Errno> {
    create_with(name, shape, 0)
}

/// Creates a map of maps such as `inner`.
pub fn create_outer(name: &str, shape: Shape, inner: &impl AsFd) -> Result<OwnedFd, Errno> {
    create_with(name, shape, fd_of(inner))
}

fn create_with(name: &str, shape: Shape, inner_map: u32) -> Result<OwnedFd, Errno> {
    let mut attr = CreateAttr { shape, inner_map, ..CreateAttr::zeroed() };
    for (to, from) in attr.name[..15].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the attributes hold no address, and the kernel returns the map's descriptor.
    unsafe { bpf::object(MAP_CREATE, &mut attr) }
}

/// What `map` is.
pub fn shape(map: &impl AsFd) -> Result<Shape, Errno> {
    let MapInfo { kind, key_size, value_size, max_entries, flags, .. } = bpf::info(map)?;
    Ok(Shape { kind, key_size, value_size, max_entries, flags })
}

/// Stores one value.
pub fn update<K: Pod, V: Pod>(map: &impl AsFd, key: &K, value: &V) -> Result<(), Errno> {
    let mut attr = ElementAttr { map: fd_of(map), zero: 0, key: address(key), value: address(value), flags: 0 };
    bpf(MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Stores the values of all CPUs, each padded to eight bytes, under one key.
pub fn update_cpus<K: Pod>(map: &impl AsFd, key: &K, values: &[u64]) -> Result<(), Errno> {
    let mut attr = ElementAttr { map: fd_of(map), zero: 0, key: address(key), value: address(values), flags: 0 };
    bpf(MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Reads the values of all CPUs, each padded to eight bytes, under one key.
pub fn lookup_cpus<K: Pod>(map: &impl AsFd, key: &K, values: &mut [u64]) -> Result<(), Errno> {
    let mut attr = ElementAttr { map: fd_of(map), zero: 0, key: address(key), value: address_mut(values), flags: 0 };
    bpf(MAP_LOOKUP_ELEM, &mut attr).map(drop)
}

/// Stores as many values as there are keys; on refusal, how many were stored.
pub fn update_batch<K: Pod, V: Pod>(map: &impl AsFd, keys: &[K], values: &[V]) -> Result<(), (usize, Errno)> {
    assert_eq!(keys.len(), values.len());
    batch(MAP_UPDATE_BATCH, map, address(keys), address(values), keys.len())
}

/// Removes keys; on refusal, how many were removed.
pub fn delete_batch<K: Pod>(map: &impl AsFd, keys: &[K]) -> Result<(), (usize, Errno)> {
    batch(MAP_DELETE_BATCH, map, address(keys), 0, keys.len())
}

fn batch(command: libc::c_long, map: &impl AsFd, keys: u64, values: u64, count: usize) -> Result<(), (usize, Errno)> {
    let mut attr = BatchAttr { keys, values, count: count as u32, map: fd_of(map), ..BatchAttr::zeroed() };
    // The kernel reports how many it did, but leaves the count alone when it refuses before the first.
    let refused =
        |attr: &BatchAttr, errno| if attr.count as usize == count { (0, errno) } else { (attr.count as usize, errno) };
    bpf(command, &mut attr).map(drop).map_err(|errno| refused(&attr, errno))
}

/// How far a walk over a table has come: the kernel writes four bytes there for a hash table, and a whole key for a trie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    at: Option<[u64; CURSOR]>,
    ended: bool,
}

/// Words of the largest key.
const CURSOR: usize = 5;

/// Reads the next entries of a hash table or a trie into `keys` and `values`, which are as long as each other, and says how many; 0 is the
/// end. ENOSPC: the next bucket holds more than fits.
pub fn next_batch<K: Pod, V: Pod>(
    map: &impl AsFd,
    cursor: &mut Cursor,
    keys: &mut [K],
    values: &mut [V],
) -> Result<usize, Errno> {
    const { assert!(size_of::<K>() <= size_of::<[u64; CURSOR]>()) };
    assert_eq!(size_of_val(keys) / size_of::<K>(), size_of_val(values) / size_of::<V>());
    if cursor.ended {
        return Ok(0);
    }
    let mut next = [0u64; CURSOR];
    let mut attr = BatchAttr {
        from: cursor.at.as_ref().map_or(0, address),
        to: address_mut(&mut next),
        keys: address_mut(keys),
        values: address_mut(values),
        count: keys.len() as u32,
        map: fd_of(map),
        ..BatchAttr::zeroed()
    };
    match bpf(MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => cursor.at = Some(next),
        Err(Errno::ENOENT) => cursor.ended = true,
        Err(errno) => return Err(errno),
    }
    Ok(attr.count as usize)
}

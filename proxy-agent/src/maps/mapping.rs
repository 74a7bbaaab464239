//! A map's values mapped into the process, for reading and writing or for reading alone.
#![expect(unsafe_code, reason = "memory that programs share is reached through raw pointers")]

use super::Memory;
use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;

/// The words of a mapped array. Those who got it from [`Mapping::read_only`] must not store.
#[derive(Debug)]
pub struct Mapping(MmapRaw);

impl Mapping {
    /// Maps `bytes` bytes of `map` for reading and writing.
    pub fn writable(map: &OwnedFd, bytes: usize) -> io::Result<Self> {
        MmapOptions::new().len(bytes).map_raw(map).map(Self)
    }

    /// Maps `bytes` bytes of `map` for reading.
    pub fn read_only(map: &OwnedFd, bytes: usize) -> io::Result<Self> {
        MmapOptions::new().len(bytes).map_raw_read_only(map).map(Self)
    }
}

impl Memory for Mapping {
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping starts at a page, is `len` bytes long, initialised by the kernel, and lives as long as `self`. An
        // array's memory can't shrink while it is mapped. All access, here and in programs, is by aligned words.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<AtomicU64>(), self.0.len() / size_of::<AtomicU64>()) }
    }
}

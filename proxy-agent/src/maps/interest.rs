//! INTEREST, the agent's field: a byte for each hash of an address that clients dial or that this node has. A byte is set before
//! the entry that it stands for, and never cleared: a flow may outlive its frontend.

use super::pins::{self, Access, PinError};
use super::{MapName, Mapping, Memory};
use proxy_common::abi::{Addr, INTEREST_DIALLED, INTEREST_LEN};
use std::path::Path;
use std::sync::atomic::Ordering;

/// The agent's field.
#[derive(Debug)]
pub(super) struct Interest(Mapping);

const BYTES_PER_WORD: usize = 8;
const FIELD: usize = INTEREST_DIALLED as usize * INTEREST_LEN;

impl Interest {
    /// Opens the map pinned below `bpffs`.
    pub(super) fn open(bpffs: &Path) -> Result<Self, PinError> {
        let map = MapName::Interest;
        let (fd, shape) = pins::open(bpffs, map.as_str(), map.shape(), Access::Write)?;
        let bytes = shape.max_entries as usize * INTEREST_LEN;
        let mapping = Mapping::writable(&fd, bytes)
            .map_err(|error| PinError::Mapping { path: bpffs.join(pins::FOLDER).join(map.as_str()), error })?;
        Ok(Self(mapping))
    }

    /// Notes what an address is: one of the bits INTEREST_….
    pub(super) fn mark(&self, addr: &Addr, what: u8) {
        let byte = FIELD + addr.interest() as usize;
        let word = &self.0.words()[byte / BYTES_PER_WORD];
        word.fetch_or(u64::from(what) << (u8::BITS as usize * (byte % BYTES_PER_WORD)), Ordering::Release);
    }
}

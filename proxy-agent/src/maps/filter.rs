//! FLOW_FILTER as the agent uses it: while programs ask one half, it makes the other anew.

use super::pins::{self, Access, PinError};
use super::{MapName, Mapping, Memory};
use proxy_common::abi::{FLOW_FILTER_ASKED, FLOW_FILTER_LEN, Tuple};
use std::path::Path;
use std::sync::atomic::Ordering;

/// The pinned map.
#[derive(Debug)]
pub(super) struct Filter(Mapping);

impl Filter {
    /// Opens the map pinned below `bpffs`.
    pub(super) fn open(bpffs: &Path) -> Result<Self, PinError> {
        let map = MapName::FlowFilter;
        let (fd, shape) = pins::open(bpffs, map.as_str(), map.shape(), Access::Write)?;
        let bytes = shape.max_entries as usize * FLOW_FILTER_LEN * size_of::<u64>();
        let mapping = Mapping::writable(&fd, bytes)
            .map_err(|error| PinError::Mapping { path: bpffs.join(pins::FOLDER).join(map.as_str()), error })?;
        Ok(Self(mapping))
    }

    /// Clears the half that is not asked.
    pub(super) fn clear(&self) {
        let asked = u64::from(u32::MAX) << (self.asked() * u64::from(u32::BITS));
        for word in &self.0.words()[..FLOW_FILTER_ASKED] {
            word.fetch_and(asked, Ordering::Relaxed);
        }
    }

    /// Notes keys in the half that is not asked.
    pub(super) fn note(&self, keys: &[Tuple]) {
        let other = 1 - self.asked();
        for place in keys.iter().map(Tuple::filter_place) {
            self.0.words()[place.index].fetch_or(place.in_half(other), Ordering::Relaxed);
        }
    }

    /// Has programs ask the other half.
    pub(super) fn ask_other(&self) {
        self.0.words()[FLOW_FILTER_ASKED].fetch_xor(1, Ordering::Release);
    }

    fn asked(&self) -> u64 {
        self.0.words()[FLOW_FILTER_ASKED].load(Ordering::Relaxed) & 1
    }
}

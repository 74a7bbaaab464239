//! What is free in the tables.

use super::ids::Ids;
use super::range_sets::RangeSets;
use super::ranges::{Block, Ranges};
use super::retire::Retired;
use crate::maps::{Capacity, MapError, MapName};
use ipnet::IpNet;
use proxy_common::abi::{BackendId, Generation, RangeSet, ServiceId};

/// Free numbers and slots, and the last generation given out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Space {
    pub capacity: Capacity,
    pub services: Ids,
    pub backends: Ids,
    pub descriptors: Ids,
    pub slots: Ranges,
    pub sources: RangeSets,
    pub generation: u32,
}

/// One part in so many of SLOTS is kept for changes that make nothing larger: without it, a service in a full table could not
/// even lose an endpoint.
const RESERVE: u32 = 16;

impl Space {
    /// A service id.
    pub fn service(&mut self) -> Result<ServiceId, MapError> {
        self.services.take().map(ServiceId).ok_or_else(|| self.full(MapName::Services))
    }

    /// A descriptor's index.
    pub fn descriptor(&mut self) -> Result<u32, MapError> {
        self.descriptors.take().ok_or_else(|| self.full(MapName::Descriptors))
    }

    /// As many backends as asked for, or none.
    pub fn backends(&mut self, count: usize) -> Result<Vec<(BackendId, Generation)>, MapError> {
        if self.backends.available() < count {
            return Err(self.full(MapName::Backends));
        }
        let mut taken = Vec::with_capacity(count);
        taken.extend((0..count).map_while(|_| Some((BackendId(self.backends.take()?), self.next_generation()))));
        Ok(taken)
    }

    /// A block of slots for a service that has one of the length `held`, or 0.
    pub fn slots(&mut self, order: u32, held: u32) -> Result<Block, MapError> {
        let room = 1u32.checked_shl(order).unwrap_or(u32::MAX);
        let keep = if room <= held { 0 } else { self.capacity.slots / RESERVE };
        if self.slots.available().saturating_sub(keep) < room {
            return Err(self.full(MapName::Slots));
        }
        self.slots.take(order).map(|first| (first, order)).ok_or_else(|| self.full(MapName::Slots))
    }

    /// A set of source ranges for a service that has `held`.
    pub fn sources(&mut self, wanted: Option<&[IpNet]>, held: RangeSet) -> Result<RangeSet, MapError> {
        self.sources.take(wanted, held).ok_or_else(|| self.full(MapName::SourceRanges))
    }

    fn next_generation(&mut self) -> Generation {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        Generation(self.generation)
    }

    /// Something that no program can see is free again; what it held must be out of the tables.
    pub fn give(&mut self, retired: Retired) {
        match retired {
            Retired::Service(id) => self.services.give(id.0),
            Retired::Descriptor(index) => self.descriptors.give(index),
            Retired::Slots(block) => self.slots.give(block),
            Retired::Sources(set) => self.sources.give(set),
            Retired::Backend(id) => self.backends.give(id.0),
        }
    }

    /// The error that says that `map` is full.
    pub fn full(&self, map: MapName) -> MapError {
        MapError::Full { map, capacity: self.capacity.of(map).unwrap_or(0) }
    }
}

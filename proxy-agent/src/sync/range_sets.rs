//! Sets of source ranges. A set is written whole before a descriptor names it, never changes, and is taken out after nobody can
//! name it: so a service goes from one to another with its one word, and no source is judged by half of both.

use super::ids::Ids;
use crate::maps::source_range;
use ipnet::IpNet;
use proxy_common::abi::{RangeSet, SourceRange};
use std::collections::{BTreeMap, BTreeSet};

/// All sets in SOURCE_RANGES, and the room that is left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeSets {
    held: BTreeMap<RangeSet, BTreeSet<SourceRange>>,
    ids: Ids,
    capacity: usize,
    available: usize,
}

/// One part in so many of SOURCE_RANGES is kept for sets that are no larger than those they replace.
const RESERVE: usize = 16;

/// How many sets there may be: each is named by a descriptor, or waits with one to be taken out.
pub const fn end(descriptors: u32) -> u32 {
    descriptors.saturating_add(1)
}

impl RangeSets {
    /// The sets that were found, of ids below [`end`].
    pub fn new(entries: u32, descriptors: u32, held: BTreeMap<RangeSet, BTreeSet<SourceRange>>) -> Self {
        let taken: Vec<u32> = held.keys().map(|set| set.0).collect();
        let used: usize = held.values().map(BTreeSet::len).sum();
        let capacity = entries as usize;
        Self { ids: Ids::new(1, end(descriptors), &taken), capacity, available: capacity.saturating_sub(used), held }
    }

    /// How many entries are free.
    #[cfg(test)]
    pub const fn available(&self) -> usize {
        self.available
    }

    /// What stands in a set.
    pub fn entries(&self, set: RangeSet) -> impl Iterator<Item = SourceRange> + '_ {
        self.held.get(&set).into_iter().flatten().copied()
    }

    /// Whether the set is these prefixes.
    pub fn is(&self, set: RangeSet, wanted: Option<&[IpNet]>) -> bool {
        let Some(nets) = wanted else { return set == RangeSet::NONE };
        let held = self.held.get(&set);
        held.is_some_and(|held| *held == nets.iter().map(|net| source_range(set, *net)).collect())
    }

    /// A set of these prefixes, for a service that has `before`; `None` if there is no room.
    pub fn take(&mut self, wanted: Option<&[IpNet]>, before: RangeSet) -> Option<RangeSet> {
        let Some(nets) = wanted else { return Some(RangeSet::NONE) };
        let keep = if nets.len() <= self.entries(before).count() { 0 } else { self.capacity / RESERVE };
        if self.available.saturating_sub(keep) < nets.len() {
            return None;
        }
        let set = RangeSet(self.ids.take()?);
        let entries: BTreeSet<SourceRange> = nets.iter().map(|net| source_range(set, *net)).collect();
        self.available -= entries.len();
        self.held.insert(set, entries);
        Some(set)
    }

    /// Nothing of the set stands in the table.
    pub fn give(&mut self, set: RangeSet) {
        if let Some(entries) = self.held.remove(&set) {
            self.available += entries.len();
            self.ids.give(set.0);
        }
    }
}

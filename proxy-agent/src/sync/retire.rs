//! What was taken out and may still be seen by programs that run: it waits for the end of a grace period.

use super::ranges::Block;
use crate::maps::GraceToken;
use proxy_common::abi::{BackendId, RangeSet, ServiceId};
use std::collections::VecDeque;

/// Something that cannot be reused yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retired {
    /// An index into DESCRIPTORS.
    Descriptor(u32),
    /// A range of slots.
    Slots(Block),
    /// A backend.
    Backend(BackendId),
    /// A set of source ranges.
    Sources(RangeSet),
    /// A service; its name stands until then.
    Service(ServiceId),
}

/// What waits: `open` for a grace period to begin, `put_off` for the next that begins for another reason, the rest for theirs to end.
#[derive(Clone, Debug, Default)]
pub struct Retirements {
    open: Vec<Retired>,
    put_off: Vec<Retired>,
    waiting: VecDeque<(GraceToken, Vec<Retired>)>,
    last: GraceToken,
    ended: GraceToken,
}

impl Retirements {
    /// Takes note of something that programs can't find any more.
    pub fn push(&mut self, retired: Retired) {
        self.open.push(retired);
    }

    /// As [`Self::push`], for a set of source ranges that may be none.
    pub fn push_sources(&mut self, set: RangeSet) {
        if set != RangeSet::NONE {
            self.push(Retired::Sources(set));
        }
    }

    /// Takes note of something that the tables keep, or that only a failure brought there: by itself it begins no grace period, so
    /// that what fails again and again is tried at the pace of other changes and of [`Self::urge`].
    pub fn put_off(&mut self, retired: Retired) {
        self.put_off.push(retired);
    }

    /// Whether anything was put off.
    pub const fn has_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// What was put off is due.
    pub fn urge(&mut self) {
        self.open.append(&mut self.put_off);
    }

    /// Names all that was retired so far, for a grace period to begin.
    pub fn seal(&mut self) -> Option<GraceToken> {
        if self.open.is_empty() {
            return None;
        }
        self.urge();
        self.last.0 += 1;
        self.waiting.push_back((self.last, std::mem::take(&mut self.open)));
        Some(self.last)
    }

    /// What no program can see any more, after the grace period of `token`.
    pub fn ended(&mut self, token: GraceToken) -> Vec<Retired> {
        self.ended = self.ended.max(token);
        let mut free = Vec::new();
        while let Some((_, batch)) = self.waiting.pop_front_if(|(sealed, _)| *sealed <= token) {
            free.extend(batch);
        }
        free
    }

    /// The services for which no grace period has begun.
    pub fn services(&self) -> impl Iterator<Item = u32> {
        self.open.iter().filter_map(|retired| if let Retired::Service(id) = retired { Some(id.0) } else { None })
    }

    /// The grace period after whose end all that was retired so far is free, but for what was put off.
    pub const fn due(&self) -> GraceToken {
        GraceToken(if self.open.is_empty() { self.last.0 } else { self.last.0 + 1 })
    }

    /// Whether a grace period has ended.
    pub fn has_ended(&self, token: GraceToken) -> bool {
        self.ended >= token
    }

    /// All that waits.
    pub fn all(&self) -> impl Iterator<Item = Retired> {
        let waiting = self.waiting.iter().map(|(_, batch)| batch);
        waiting.chain([&self.open, &self.put_off]).flatten().copied()
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.open.len() + self.put_off.len() + self.waiting.iter().map(|(_, batch)| batch.len()).sum::<usize>()
    }
}

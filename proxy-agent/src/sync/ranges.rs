//! Ranges of slots: blocks whose length is a power of two that divides their first slot (the buddy system of Knowlton, 1965).
//! Free blocks that are halves of one are joined at once, so that free space breaks up no further than what is in use makes it:
//! with blocks of up to 2^k slots, a request finds room as long as the table is 1 + k/2 times as large as what was ever in use
//! (Robson, 1971).

use std::collections::BTreeSet;

/// Free blocks, by the exponent of their length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ranges {
    free: Vec<BTreeSet<u32>>,
    available: u32,
}

/// A block: first slot, and the exponent of its length.
pub type Block = (u32, u32);

impl Ranges {
    /// All slots below `capacity`, free.
    pub fn new(capacity: u32) -> Self {
        let mut ranges = Self { free: vec![BTreeSet::new(); 32], available: 0 };
        blocks(0, capacity).for_each(|block| ranges.give(block));
        ranges
    }

    /// How many slots are free.
    pub const fn available(&self) -> u32 {
        self.available
    }

    /// Takes the lowest of the smallest blocks that are large enough.
    pub fn take(&mut self, order: u32) -> Option<u32> {
        let from = (order as usize..self.free.len()).find(|&larger| !self.free[larger].is_empty())?;
        let first = self.free[from].pop_first()?;
        for half in order as usize..from {
            self.free[half].insert(first + (1 << half));
        }
        self.available -= 1 << order;
        Some(first)
    }

    /// Takes exactly this block; `false`, and nothing, if a part of it is taken or does not exist.
    pub fn reserve(&mut self, (first, order): Block) -> bool {
        let holds = |larger: &usize| self.free[*larger].contains(&(first >> larger << larger));
        let Some(from) = (order as usize..self.free.len()).find(holds) else { return false };
        let mut at = first >> from << from;
        self.free[from].remove(&at);
        for half in (order as usize..from).rev() {
            let upper = at + (1 << half);
            let other = if first >= upper { std::mem::replace(&mut at, upper) } else { upper };
            self.free[half].insert(other);
        }
        self.available -= 1 << order;
        true
    }

    /// Gives a block back.
    pub fn give(&mut self, (mut first, order): Block) {
        self.available += 1 << order;
        let mut order = order as usize;
        while order + 1 < self.free.len() && self.free[order].remove(&(first ^ (1 << order))) {
            first &= !(1 << order);
            order += 1;
        }
        self.free[order].insert(first);
    }
}

/// The exponent of the block that holds `room` slots.
pub const fn order(room: u32) -> u32 {
    room.next_power_of_two().trailing_zeros()
}

/// The blocks that together are the slots from `first` up to `end`.
pub fn blocks(mut first: u32, end: u32) -> impl Iterator<Item = Block> {
    std::iter::from_fn(move || {
        let left = end.checked_sub(first).filter(|left| *left > 0)?;
        let order = first.trailing_zeros().min(left.ilog2());
        let block = (first, order);
        first += 1 << order;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_run_of_slots_is_made_of_blocks() {
        assert_eq!(blocks(3, 3).count(), 0);
        assert_eq!(blocks(3, 14).collect::<Vec<_>>(), [(3, 0), (4, 2), (8, 2), (12, 1)]);
        assert_eq!([1, 2, 3, 4, 5].map(order), [0, 1, 2, 2, 3]);
    }

    #[test]
    fn a_reserved_block_is_cut_out() {
        let mut ranges = Ranges::new(24);
        assert!(ranges.reserve((20, 2)) && !ranges.reserve((20, 1)) && !ranges.reserve((16, 3)) && !ranges.reserve((24, 0)));
        assert_eq!((ranges.available(), ranges.take(2), ranges.take(2), ranges.take(4)), (20, Some(16), Some(0), None));
    }

    proptest! {
        /// Blocks never overlap, and what is given back joins to what there was, in whatever order.
        #[test]
        fn churn_loses_nothing(capacity in 1u32..300, steps in prop::collection::vec((0u32..6, any::<prop::sample::Index>()), 1..200)) {
            let mut ranges = Ranges::new(capacity);
            let mut taken: Vec<Block> = Vec::new();
            for (order, index) in steps {
                if order == 5 && !taken.is_empty() {
                    ranges.give(taken.swap_remove(index.index(taken.len())));
                } else if let Some(first) = ranges.take(order) {
                    prop_assert!(first.is_multiple_of(1 << order) && first + (1 << order) <= capacity);
                    prop_assert!(taken.iter().all(|(at, other)| first + (1 << order) <= *at || at + (1 << other) <= first));
                    taken.push((first, order));
                }
                let used: u32 = taken.iter().map(|(_, order)| 1 << order).sum();
                prop_assert_eq!(ranges.available(), capacity - used);
            }
            taken.into_iter().for_each(|block| ranges.give(block));
            prop_assert_eq!(ranges, Ranges::new(capacity));
        }

        /// Robson's bound: with room for 1 + k/2 times what is in use, a block of up to 2^k slots is always found.
        #[test]
        fn free_space_does_not_crumble(steps in prop::collection::vec((0u32..5, any::<prop::sample::Index>()), 1..400)) {
            let (live, largest) = (64u32, 4u32);
            let mut ranges = Ranges::new(live * (2 + largest) / 2);
            let mut taken: Vec<Block> = Vec::new();
            for (order, index) in steps {
                let mut used: u32 = taken.iter().map(|(_, order)| 1 << order).sum();
                while used + (1 << order) > live {
                    let block = taken.swap_remove(index.index(taken.len()));
                    used -= 1 << block.1;
                    ranges.give(block);
                }
                let first = ranges.take(order);
                prop_assert!(first.is_some());
                taken.extend(first.map(|first| (first, order)));
            }
        }
    }
}

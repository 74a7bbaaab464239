//! Choices from a seed: the same seed makes the same run.

use proxy_common::lb::seeded;

/// A source of choices.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    thrown: u32,
}

impl Dice {
    /// A source that depends on the seed alone.
    pub const fn new(seed: u64) -> Self {
        Self { seed, thrown: 0 }
    }

    /// A number below `sides`.
    pub fn below(&mut self, sides: usize) -> usize {
        self.thrown += 1;
        ((u64::from(seeded(self.seed, self.thrown)) * sides as u64) >> 32) as usize
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// True in `percent` of 100 throws.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

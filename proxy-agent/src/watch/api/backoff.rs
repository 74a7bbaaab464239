//! How long to wait before the API is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A restart of the API server takes seconds; the first tries after it should not take many more.
const FIRST: Duration = Duration::from_millis(100);
/// With thousands of nodes, a server that comes back sees a few hundred tries a second.
const LAST: Duration = Duration::from_secs(10);

/// Waits that double, each shortened by chance to between half and all of it, so that nodes don't try in step.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next wait.
    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LAST);
        shortened(wait)
    }

    /// All is well: the next wait is the first again.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// A wait that chance has shortened to between half and all of it.
pub fn shortened(wait: Duration) -> Duration {
    // The keys of a new hasher are random.
    let chance = RandomState::new().hash_one(0) as u32;
    wait / 2 + (wait / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ() {
        let mut backoff = Backoff::default();
        let mut full = FIRST;
        for _ in 0..20 {
            let wait = backoff.next();
            assert!(wait >= full / 2 && wait <= full, "{wait:?} {full:?}");
            full = (full * 2).min(LAST);
        }
        assert_eq!(full, LAST);
        let waits: std::collections::BTreeSet<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(waits.len() > 10);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}

//! Numbers of one kind that can be taken and given back. Each is taken by at most one owner.

/// Free numbers: a list of those given back, and all from `next` up to `end`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ids {
    free: Vec<u32>,
    next: u32,
    end: u32,
}

impl Ids {
    /// The numbers from `first` up to `end`, without those in `taken`, which is sorted and lies between them.
    pub fn new(first: u32, end: u32, taken: &[u32]) -> Self {
        let mut next = first;
        let mut free = Vec::new();
        for &id in taken {
            free.extend(next..id);
            next = id + 1;
        }
        free.reverse();
        Self { free, next, end: end.max(next) }
    }

    /// How many are free.
    pub const fn available(&self) -> usize {
        self.free.len() + (self.end - self.next) as usize
    }

    /// Takes a number.
    pub fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let id = self.next;
            (id < self.end).then(|| {
                self.next += 1;
                id
            })
        })
    }

    /// Gives a number back.
    pub fn give(&mut self, id: u32) {
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_taken_first_and_lowest_first() {
        let mut ids = Ids::new(1, 8, &[2, 5]);
        assert_eq!(ids.available(), 5);
        let all: Vec<u32> = std::iter::from_fn(|| ids.take()).collect();
        assert_eq!(all, [1, 3, 4, 6, 7]);
        ids.give(5);
        assert_eq!((ids.available(), ids.take(), ids.take()), (1, Some(5), None));
    }
}

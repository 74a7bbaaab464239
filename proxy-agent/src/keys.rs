//! Hash maps whose keys are names or addresses. The standard hasher takes as long for a service port's name as writing a
//! backend does; this one folds eight bytes at a time into a secret that each process draws anew, so that nobody who may name
//! Services can aim at one bucket.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map that hashes with [`Folding`].
pub type KeyMap<K, V> = HashMap<K, V, Folding>;

/// Draws the secret.
#[derive(Clone, Debug)]
pub struct Folding {
    start: u64,
    factor: u64,
}

/// Folds words by multiplication to 128 bits.
#[derive(Debug)]
pub struct Fold {
    state: u64,
    factor: u64,
}

impl Default for Folding {
    fn default() -> Self {
        let secret = RandomState::new();
        Self { start: secret.hash_one(0u8), factor: secret.hash_one(1u8) | 1 }
    }
}

impl BuildHasher for Folding {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold { state: self.start, factor: self.factor }
    }
}

impl Fold {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product as u64) ^ ((product >> 64) as u64).rotate_left(17);
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.fold(u64::from_ne_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.fold(u64::from_ne_bytes(last));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.factor);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_that_differ_little_differ_much() {
        let hasher = Folding::default();
        let hashes: HashSet<u64> = (0..100_000u32).map(|number| hasher.hash_one(format!("service-{number}")) >> 40).collect();
        assert!(hashes.len() > 99_000, "{} of the upper 24 bits differ", hashes.len());
    }
}

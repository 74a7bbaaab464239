//! One mapped array: values in memory that programs read while the agent writes. Every access is to whole, aligned 64-bit words.

use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Where an array's words lie.
pub trait Memory {
    /// The words.
    fn words(&self) -> &[AtomicU64];
}

impl Memory for Arc<[AtomicU64]> {
    fn words(&self) -> &[AtomicU64] {
        self
    }
}

/// An array of `T` in the layout of BPF_MAP_TYPE_ARRAY: each value begins at a multiple of eight bytes.
#[derive(Clone, Debug)]
pub struct Array<M, T> {
    memory: M,
    len: u32,
    value: PhantomData<T>,
}

impl<M: Memory, T: Pod> Array<M, T> {
    /// Words from one value to the next.
    pub const STRIDE: usize = size_of::<T>().div_ceil(8);

    /// The array of `len` values in `memory`; shorter if that holds fewer.
    pub fn new(memory: M, len: u32) -> Self {
        const { assert!(Self::STRIDE > 0) };
        let held = u32::try_from(memory.words().len() / Self::STRIDE).unwrap_or(u32::MAX);
        Self { memory, len: len.min(held), value: PhantomData }
    }

    /// Number of values.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no values.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value at `index`; zero beyond the end.
    pub fn load(&self, index: u32) -> T {
        let mut value = T::zeroed();
        if let Some(cells) = self.cells(index) {
            let bytes = bytemuck::bytes_of_mut(&mut value);
            for (at, cell) in cells.iter().enumerate() {
                let (from, to) = word_of::<T>(at);
                bytes[from..to].copy_from_slice(&cell.load(Ordering::Relaxed).to_ne_bytes()[..to - from]);
            }
        }
        fence(Ordering::Acquire);
        value
    }

    /// Writes the value at `index`, its last word with release order; nothing beyond the end.
    pub fn store(&self, index: u32, value: T) {
        let Some(cells) = self.cells(index) else { return };
        let bytes = bytemuck::bytes_of(&value);
        for (at, cell) in cells.iter().enumerate() {
            let ((from, to), mut word) = (word_of::<T>(at), [0; 8]);
            word[..to - from].copy_from_slice(&bytes[from..to]);
            let order = if at + 1 == Self::STRIDE { Ordering::Release } else { Ordering::Relaxed };
            cell.store(u64::from_ne_bytes(word), order);
        }
    }

    fn cells(&self, index: u32) -> Option<&[AtomicU64]> {
        let start = index as usize * Self::STRIDE;
        if index < self.len { self.memory.words().get(start..start + Self::STRIDE) } else { None }
    }
}

/// Which bytes of a value stand in its word at this place.
const fn word_of<T>(at: usize) -> (usize, usize) {
    let (from, size) = (at * 8, size_of::<T>());
    (from, if from + 8 < size { from + 8 } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_stride_and_end() {
        let memory: Arc<[AtomicU64]> = (0..6).map(|_| AtomicU64::new(0)).collect();
        let array = Array::<_, [u32; 3]>::new(memory.clone(), 9);
        assert_eq!(array.len(), 3);
        let value = [1, 2, 4];
        array.store(1, value);
        array.store(3, value);
        assert_eq!([0, 1, 2, 3].map(|i| array.load(i)), [[0; 3], value, [0; 3], [0; 3]]);
        assert_eq!(memory[3].load(Ordering::Relaxed), u64::from_ne_bytes(bytemuck::cast([4u32, 0])));
    }
}

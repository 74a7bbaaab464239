//! The body of [`Packet`] over plain bytes: what tests, fuzzers and `trace` use.

use super::header::L3;
use super::{Change, Packet, update_in_place};
use bytemuck::Pod;

/// A frame in memory that can grow up to `N` bytes.
#[derive(Clone, Copy)]
pub struct Bytes<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Bytes<N> {
    /// A copy of `frame`, cut to `N` bytes.
    pub fn new(frame: &[u8]) -> Self {
        let len = frame.len().min(N);
        let mut bytes = [0; N];
        bytes[..len].copy_from_slice(&frame[..len]);
        Self { bytes, len }
    }

    /// The frame.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<const N: usize> Packet for Bytes<N> {
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        self.as_slice().get(offset..)?.get(..size_of::<T>()).map(bytemuck::pod_read_unaligned)
    }

    fn store<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()> {
        let frame = &mut self.bytes[..self.len];
        frame.get_mut(offset..)?.get_mut(..size_of::<T>())?.copy_from_slice(bytemuck::bytes_of(value));
        Some(())
    }

    fn update_checksum(&mut self, offset: usize, change: Change, optional: bool) -> Option<()> {
        update_in_place(self, offset, change, optional)
    }

    fn reshape(&mut self, keep: usize, grow: usize) -> Option<()> {
        let keep = keep.min(self.len);
        if keep < L3 || keep + grow > N {
            return None;
        }
        self.bytes.copy_within(L3..keep, L3 + grow);
        self.bytes[L3..L3 + grow].fill(0);
        self.len = keep + grow;
        Some(())
    }
}

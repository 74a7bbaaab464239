//! The bytes of a packet that a program may touch, at either hook of packets.
//!
//! Invariant: nothing outside is read or written; a whole header's bounds are checked at once, as the verifier wants it.

use bytemuck::Pod;

/// From the first byte to the one after the last.
pub struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The bytes between two pointers.
    ///
    /// # Safety
    /// They are the `data` and `data_end` of the packet of this program, read since a helper last moved it.
    #[inline(always)]
    pub const unsafe fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// Reads a header. `None` beyond the end.
    #[inline(always)]
    pub fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        // SAFETY: inside the packet, as just checked; eBPF allows loads at any alignment in packets.
        self.at::<T>(offset).map(|header| unsafe { *header })
    }

    /// Writes a header. `None` beyond the end.
    #[inline(always)]
    pub fn store<T: Pod>(&self, offset: usize, value: &T) -> Option<()> {
        // SAFETY: inside the packet, as just checked; eBPF allows stores at any alignment in packets.
        self.at::<T>(offset).map(|header| unsafe { *header = *value })
    }

    #[inline(always)]
    const fn at<T>(&self, offset: usize) -> Option<*mut T> {
        let header = self.start + offset;
        if header + size_of::<T>() <= self.end { Some(header as *mut T) } else { None }
    }
}

//! The Internet checksum (RFC 1071), kept up to date by differences (RFC 1624).
//!
//! A [`Sum`] is a one's complement sum over 16-bit words as they lie in memory: the sum does not depend on byte order, so no
//! byte is swapped anywhere.

/// A one's complement sum, not yet folded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum over nothing.
    pub const ZERO: Self = Self(0);

    /// This sum and one more word of 32 bits.
    #[inline(always)]
    #[must_use]
    pub const fn add(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// The change when `old` becomes `new`.
    #[inline(always)]
    #[must_use]
    pub const fn replace(self, old: u32, new: u32) -> Self {
        Self(self.0 + (!old) as u64 + new as u64)
    }

    /// Both sums.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Folded to 32 bits, as the kernel's checksum helpers take a difference.
    #[inline(always)]
    pub const fn fold32(self) -> u32 {
        let folded = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        ((folded & 0xffff_ffff) + (folded >> 32)) as u32
    }

    /// Folded to 16 bits.
    #[inline(always)]
    pub const fn fold16(self) -> u16 {
        let word = self.fold32();
        let word = (word & 0xffff) + (word >> 16);
        ((word & 0xffff) + (word >> 16)) as u16
    }

    /// The checksum field over what was summed.
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        !self.fold16()
    }

    /// The checksum field `field` after this change.
    #[inline(always)]
    pub const fn update(self, field: u16) -> u16 {
        !Self(self.0 + (!field) as u64).fold16()
    }

    /// The word which, added to this sum, gives its own complement: half of the sum's complement, modulo 2^16 - 1.
    #[inline(always)]
    pub const fn halved_complement(self) -> u16 {
        let complement = self.checksum() as u32;
        let even = if complement & 1 == 0 { complement } else { complement + 0xffff };
        (even / 2) as u16
    }
}

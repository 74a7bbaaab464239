//! Source ranges: who may dial a Service's load-balancer addresses (S24).

use super::Addr;
use bytemuck::{Pod, Zeroable};

/// A set of source ranges; immutable while a [`super::Descriptor`] names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Pod, Zeroable)]
#[repr(transparent)]
pub struct RangeSet(pub u32);

/// What is looked for in SOURCE_RANGES: an address in one set. 20 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Source {
    /// The set; all its bits count, whatever their order.
    pub set: RangeSet,
    /// The address.
    pub addr: Addr,
}

/// Key of SOURCE_RANGES, a trie of longest prefixes: a set, and a prefix in it. 24 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct SourceRange {
    bits: u32,
    source: Source,
}

impl RangeSet {
    /// No set: everybody may dial.
    pub const NONE: Self = Self(0);
}

/// Bits of a set's number.
const SET_BITS: u32 = u32::BITS;

impl Source {
    /// Bits of the whole.
    pub const BITS: u32 = u8::BITS * size_of::<Self>() as u32;
}

impl SourceRange {
    /// The prefix of `bits` bits (counted in the 128 of the v4-mapped form) around `addr`, in a set.
    pub fn new(set: RangeSet, addr: Addr, bits: u8) -> Self {
        let bits = u32::from(bits).min(u128::BITS);
        let mask = if bits == 0 { 0 } else { u128::MAX << (u128::BITS - bits) };
        let mask: [u32; 4] = bytemuck::cast(mask.to_be_bytes());
        let words = addr.as_words();
        let addr = Addr::v6_words(core::array::from_fn(|index| words[index] & mask[index]));
        Self { bits: SET_BITS + bits, source: Source { set, addr } }
    }

    /// The set.
    pub const fn set(&self) -> RangeSet {
        self.source.set
    }

    /// The prefix's address.
    pub const fn addr(&self) -> Addr {
        self.source.addr
    }

    /// The prefix's length, counted in the 128 bits of the v4-mapped form.
    pub const fn bits(&self) -> u8 {
        self.bits.saturating_sub(SET_BITS) as u8
    }

    /// Whether the trie finds this entry for what is looked for.
    pub fn contains(&self, source: &Source) -> bool {
        self.source.set == source.set && Self::new(source.set, source.addr, self.bits()).source.addr == self.source.addr
    }
}

//! The slot of a Maglev table that a client's packets have on every node (S20).

use crate::abi::Tuple;

/// The odd number next to 2^64 over the golden ratio (Knuth's multiplicative hashing).
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// The client's slot of a table whose length is a power of two. In a table twice as long it has the same one, or the one that far behind
/// it: endpoints take these two in one order, so that half of all clients stay where the length changes.
#[inline(always)]
pub const fn spread(tuple: &Tuple, length: u32) -> u32 {
    number(tuple) & length.wrapping_sub(1)
}

/// A number of 32 bits from the client's address and port and the port that it dials. The address that it dials is left out: a
/// NodePort has another one on each node.
#[inline(always)]
const fn number(tuple: &Tuple) -> u32 {
    let [a, b, c, d] = tuple.src.as_words();
    let ports = pair(tuple.sport.number() as u32, tuple.dport.number() as u32);
    let address = mix(mix(pair(u32::from_be(a), u32::from_be(b))) ^ pair(u32::from_be(c), u32::from_be(d)));
    (mix(mix(address ^ ports)) >> 32) as u32
}

/// Spreads what is in any bit over all others.
#[inline(always)]
pub const fn mix(value: u64) -> u64 {
    let mixed = (value ^ (value >> 32)).wrapping_mul(FACTOR);
    mixed ^ (mixed >> 29)
}

#[inline(always)]
const fn pair(high: u32, low: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

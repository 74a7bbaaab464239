//! A limit on the rate of ICMP errors, per CPU.

use crate::abi::Bucket;

/// Takes one token from `bucket`, which gains `per_second` in a second and holds as many. Whether there was one.
#[inline(always)]
pub fn take_token(bucket: &mut Bucket, now: u32, per_second: u32) -> bool {
    let capacity = per_second.wrapping_mul(1_000);
    let elapsed = now.wrapping_sub(bucket.filled);
    let gained = if elapsed >= 1_000 { capacity } else { elapsed.wrapping_mul(per_second) };
    let tokens = bucket.tokens.saturating_add(gained);
    bucket.tokens = if tokens > capacity { capacity } else { tokens };
    bucket.filled = now;
    if bucket.tokens < 1_000 {
        return false;
    }
    bucket.tokens -= 1_000;
    true
}

/// The `n`-th number that stands for the kernel's random ones where a test gives a seed (splitmix64, Steele et al. 2014).
#[inline(always)]
pub const fn seeded(seed: u64, n: u32) -> u32 {
    let mut z = seed.wrapping_add((n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as u32
}

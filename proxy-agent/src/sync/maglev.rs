//! How a range of slots is filled for Maglev (Eisenbud et al., NSDI 2016), on every node alike: from the endpoints' addresses and
//! ports alone. A table is a power of two long, as blocks of slots are; any odd step visits all of it.
//!
//! In turn each endpoint takes the next slot that is free along its own permutation, so the numbers of slots differ by one at most.
//! With M slots this takes M log M steps on average.

use proxy_common::abi::{Addr, Port};
use proxy_common::lb::mix;

/// The shortest table.
const SHORTEST: u32 = 1024;
/// Slots that each endpoint has at least: with these, numbers of slots differ by one percent at most.
const EACH: u32 = 100;

/// Steps for each slot, all walks together. Hashes take less than twenty for the longest of tables.
const PATIENCE: u64 = 64;
/// A slot that nobody has.
const FREE: u32 = u32::MAX;

/// The length of the table of so many endpoints; of none, 0. It depends on nothing else, so that all nodes agree.
pub const fn length(endpoints: u32) -> u32 {
    match endpoints.saturating_mul(EACH).checked_next_power_of_two() {
        _ if endpoints == 0 => 0,
        Some(length) if length > SHORTEST => length,
        Some(_) => SHORTEST,
        None => 1 << 31,
    }
}

/// Who has each slot of a table, as an index into `endpoints`; those are sorted by address and port.
pub fn fill(endpoints: &[(Addr, Port)]) -> Vec<u32> {
    let length = length(endpoints.len() as u32);
    let walks = endpoints.iter().map(|&(addr, port)| Walk::of(addr, port)).collect();
    walked(walks, length, u64::from(length) * PATIENCE)
}

/// The table that walks come to in so many steps; what is free then is shared out in turn, from the first slot on. Addresses can be
/// chosen such that all walk the same way, and each step on it would meet a slot that is taken.
fn walked(mut walks: Vec<Walk>, length: u32, mut steps: u64) -> Vec<u32> {
    let mask = length.wrapping_sub(1);
    let mut table = vec![FREE; length as usize];
    let (mut free, mut turns) = (length, (0..walks.len()).cycle().peekable());
    while free > 0
        && let Some(&turn) = turns.peek()
    {
        let walk = &mut walks[turn];
        while table[(walk.at & mask) as usize] != FREE && steps > 0 {
            walk.at = walk.at.wrapping_add(walk.step);
            steps -= 1;
        }
        if steps == 0 {
            break;
        }
        table[(walk.at & mask) as usize] = turn as u32;
        turns.next();
        free -= 1;
    }
    table.iter_mut().filter(|slot| **slot == FREE).zip(turns).for_each(|(slot, turn)| *slot = turn as u32);
    table
}

/// An endpoint's way through the table.
struct Walk {
    at: u32,
    step: u32,
}

impl Walk {
    fn of(addr: Addr, port: Port) -> Self {
        let [a, b, c, d] = addr.as_words().map(|word| u64::from(u32::from_be(word)));
        let hash = mix(mix(mix(mix(a << 32 | b) ^ (c << 32 | d)) ^ u64::from(port.number())));
        Self { at: hash as u32, step: (hash >> 32) as u32 | 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy_common::abi::{Proto, Tuple};
    use proxy_common::lb::spread;
    use std::net::{IpAddr, Ipv4Addr};

    fn endpoint(number: u32) -> (Addr, Port) {
        (IpAddr::V4(Ipv4Addr::from(0x0af4_0000 + number)).into(), Port::new(8080))
    }

    fn counts(table: &[u32], endpoints: usize) -> Vec<u32> {
        let mut counts = vec![0; endpoints];
        table.iter().for_each(|index| counts[*index as usize] += 1);
        counts
    }

    #[test]
    fn s20_a_table_has_a_length_by_the_number_of_endpoints() {
        assert_eq!([0, 1, 10, 11, 20, 21, 1000].map(length), [0, 1024, 1024, 2048, 2048, 4096, 131_072]);
        assert_eq!(length(u32::MAX), 1 << 31);
        assert_eq!(fill(&[]), Vec::<u32>::new());
    }

    #[test]
    fn s20_slots_are_fixed_for_all_builds() {
        let table = fill(&[endpoint(1), endpoint(2), endpoint(3)]);
        let hash = table
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, index| (hash ^ u64::from(*index)).wrapping_mul(0x100_0000_01b3));
        assert_eq!(hash, FIXED, "nodes of two builds would disagree: {hash:#x}");
    }

    /// FNV-1a of the table of three endpoints.
    const FIXED: u64 = 0x1aaa_c437_2a80_0004;

    #[test]
    fn s20_every_endpoint_has_its_share_of_slots() {
        for endpoints in [1_u32, 2, 3, 10, 11, 100, 327] {
            let table = fill(&(0..endpoints).map(endpoint).collect::<Vec<_>>());
            let counts = counts(&table, endpoints as usize);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(*least >= EACH && most - least <= 1, "{endpoints}: {least} to {most}");
        }
    }

    #[test]
    fn s20_an_endpoint_that_goes_takes_little_else_along() {
        // Within one length of the table: 8 and 7, 40 and 39, 160 and 159.
        for endpoints in [8_u32, 40, 160] {
            let before: Vec<_> = (0..endpoints).map(endpoint).collect();
            let table = fill(&before);
            for gone in 0..8 {
                let after: Vec<_> = before.iter().copied().filter(|held| *held != before[gone]).collect();
                let other = fill(&after);
                let moved = table.iter().zip(&other).filter(|(a, b)| before[**a as usize] != after[**b as usize]).count();
                let (moved, share) = (moved as f64 / table.len() as f64, 1.0 / f64::from(endpoints));
                assert!(moved >= share * 0.95 && moved < share + 0.1, "{endpoints} without {gone}: {moved} moved");
            }
        }
    }

    #[test]
    fn s20_half_of_the_clients_stay_where_the_table_doubles() {
        for endpoints in [10_u32, 20, 40, 163] {
            let all: Vec<_> = (0..=endpoints).map(endpoint).collect();
            let (before, after) = (fill(&all[..endpoints as usize]), fill(&all));
            assert_eq!(after.len(), 2 * before.len());
            let dst = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)).into();
            let client = |number: u32| {
                let src = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number)).into();
                Tuple::new(src, Port::new(40_000), dst, Port::new(30_080), Proto::TCP)
            };
            let of = |table: &[u32], client: &Tuple| table[spread(client, table.len() as u32) as usize];
            let stay = (0..20_000).map(client).filter(|client| of(&before, client) == of(&after, client)).count();
            assert!(stay > 20_000 * 4 / 10, "{endpoints} and one more: {stay} of 20,000 stay");
        }
    }

    #[test]
    fn s20_endpoints_that_all_walk_the_same_way_have_their_share_too() {
        let same = || (0..1000).map(|_| Walk { at: 7, step: 3 }).collect();
        for steps in [0, 1, 1 << 20] {
            let table = walked(same(), 1 << 17, steps);
            let counts = counts(&table, 1000);
            assert!(counts.iter().all(|count| [131, 132].contains(count)), "{steps} steps: {counts:?}");
        }
    }

    #[test]
    fn s20_walks_that_hashes_give_are_never_cut_short() {
        for endpoints in [1_u32, 10, 163, 2_600, 10_000] {
            let all: Vec<_> = (0..endpoints).map(endpoint).collect();
            let walks = || all.iter().map(|&(addr, port)| Walk::of(addr, port)).collect();
            let length = length(endpoints);
            assert_eq!(fill(&all), walked(walks(), length, u64::MAX), "{endpoints}");
            assert_eq!(fill(&all), walked(walks(), length, u64::from(length) * 20), "{endpoints}: a third of the steps does");
        }
    }

    proptest! {
        #[test]
        fn s20_who_is_there_says_who_has_what(numbers in prop::collection::btree_set(0u32..5000, 1..60)) {
            let endpoints: Vec<_> = numbers.iter().copied().map(endpoint).collect();
            let table = fill(&endpoints);
            prop_assert_eq!(table.len(), length(endpoints.len() as u32) as usize);
            prop_assert!(counts(&table, endpoints.len()).iter().all(|count| *count > 0));
        }
    }
}

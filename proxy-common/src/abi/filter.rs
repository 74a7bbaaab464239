//! FLOW_FILTER: a Bloom filter (of one hash) over the keys that the flow tables hold, small enough for a cache. It has two halves,
//! of which one is asked; programs note keys in both, and the agent makes the other one anew from the tables, so that what is
//! gone leaves it. A word holds 32 bits of each half, so that one step sets both bits of a key.

use super::{Addr, Tuple};

const BITS: u32 = 20;
/// Index of the word that says which half is asked: 0, the low ones, or 1, the high ones. It shares its cache line with no bits.
pub const FLOW_FILTER_ASKED: usize = (1 << BITS) / u32::BITS as usize;
/// Length in words: two bits for each of 1,048,576 hashes, and a cache line. With 100,000 entries, one absent key of eleven looks like
/// a present one.
pub const FLOW_FILTER_LEN: usize = FLOW_FILTER_ASKED + 8;

/// A key's place in FLOW_FILTER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FilterPlace {
    /// The index of its word.
    pub index: usize,
    bit: u32,
}

impl Tuple {
    /// The tuple's place in FLOW_FILTER.
    #[inline(always)]
    pub const fn filter_place(&self) -> FilterPlace {
        const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        let addrs = folded(&self.src) as u64 | ((folded(&self.dst) as u64) << 32);
        let rest = self.sport.to_wire() as u64 | ((self.dport.to_wire() as u64) << 16) | ((self.proto.0 as u64) << 32);
        let hash = (addrs ^ rest.wrapping_mul(ODD[0])).wrapping_mul(ODD[1]) >> (u64::BITS - BITS);
        FilterPlace { index: (hash / u32::BITS as u64) as usize, bit: 1 << (hash % u32::BITS as u64) }
    }
}

impl FilterPlace {
    /// Its bit in a half, 0 or 1.
    #[inline(always)]
    pub const fn in_half(self, half: u64) -> u64 {
        (self.bit as u64) << (half * u32::BITS as u64)
    }

    /// Its bits in both halves.
    #[inline(always)]
    pub const fn in_both(self) -> u64 {
        self.in_half(0) | self.in_half(1)
    }
}

#[inline(always)]
const fn folded(addr: &Addr) -> u32 {
    let words = addr.as_words();
    words[0] ^ words[1] ^ words[2] ^ words[3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{Port, Proto};
    use std::net::IpAddr;

    /// 100,000 keys as traffic makes them: few addresses, ports in a row.
    fn keys(clients: [&str; 4], ports: u16) -> impl Iterator<Item = Tuple> {
        let addr = |text: &str| text.parse::<IpAddr>().expect("an address").into();
        let clients = clients.map(addr);
        let node = addr("192.0.2.1");
        (0..ports).flat_map(move |port| {
            clients.map(|client| Tuple::new(client, Port::new(1_024 + port), node, Port::new(30_007), Proto::TCP))
        })
    }

    #[test]
    fn of_absent_keys_few_look_like_present_ones() {
        for clients in
            [["192.0.2.7", "192.0.2.8", "198.51.100.7", "10.1.2.3"], ["2001:db8::1", "2001:db8::2", "fd00::7:1", "fd00:1::7"]]
        {
            let mut filter = vec![0_u64; FLOW_FILTER_LEN];
            for key in keys(clients, 25_000) {
                let place = key.filter_place();
                filter[place.index] |= place.in_both();
            }
            assert_eq!(filter[FLOW_FILTER_ASKED..], [0; 8], "no bit beside the bits");
            let looks_present = |key: Tuple| {
                let place = key.filter_place();
                filter[place.index] & place.in_half(1) != 0
            };
            assert!(keys(clients, 25_000).all(looks_present));
            let replies = keys(clients, 25_000).map(|key| key.reversed());
            let wrong = replies.filter(|key| looks_present(*key)).count();
            assert!((7_000..11_500).contains(&wrong), "{wrong} of 100,000, where chance has 9,100");
        }
    }
}

//! The limit on ICMP errors, and the numbers that stand for random ones.

use crate::abi::Bucket;
use crate::lb::{seeded, take_token};
use std::collections::HashSet;

#[test]
fn a_second_gives_as_many_tokens_as_the_rate_and_no_more_are_kept() {
    let mut bucket = Bucket::default();
    for now in [10_000, 11_000, 90_000] {
        let taken = (0..500).filter(|_| take_token(&mut bucket, now, 100)).count();
        assert_eq!(taken, 100, "at {now}");
    }
}

#[test]
fn tokens_come_one_by_one() {
    let mut bucket = Bucket { tokens: 0, filled: 5_000 };
    let taken: Vec<u32> = (5_000..5_050).filter(|&now| take_token(&mut bucket, now, 100)).collect();
    assert_eq!(taken, [5_010, 5_020, 5_030, 5_040]);
}

#[test]
fn the_clock_may_wrap_around() {
    let mut bucket = Bucket { tokens: 0, filled: u32::MAX - 4 };
    assert!(take_token(&mut bucket, 5, 100), "ten milliseconds later");
    assert!(!take_token(&mut bucket, 6, 100));
}

#[test]
fn a_rate_of_zero_gives_nothing() {
    let mut bucket = Bucket::default();
    assert!((0..100).all(|step| !take_token(&mut bucket, step * 1_000, 0)));
}

#[test]
fn a_seed_gives_the_same_numbers_each_time_and_another_seed_others() {
    let numbers = |seed| (0..1_000).map(|n| seeded(seed, n)).collect::<Vec<_>>();
    assert_eq!(numbers(7), numbers(7));
    let all: HashSet<u32> = numbers(7).into_iter().chain(numbers(8)).collect();
    assert!(all.len() > 1_990, "{} of 2000 differ", all.len());
}

//! The same packets natively and loaded: a hundred thousand at each hook in each family, with Services that change in between.

use anyhow::Result;
use sluice_tests::Family;

mod same;

#[test]
fn ipv4_packets_meet_the_same_end_natively_and_loaded() -> Result<()> {
    same::compare::run("same-v4", Family::V4, 0x5eed_0004)
}

#[test]
fn ipv6_packets_meet_the_same_end_natively_and_loaded() -> Result<()> {
    same::compare::run("same-v6", Family::V6, 0x5eed_0006)
}

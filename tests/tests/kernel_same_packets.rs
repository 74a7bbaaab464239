//! The same packets natively and loaded: a hundred thousand at each hook in each family, with Services that change in between.

use anyhow::Result;
use sluice_tests::Family;

mod same;

use same::kernel::Checksums;

#[test]
fn ipv4_packets_meet_the_same_end_natively_and_loaded() -> Result<()> {
    same::compare::run("same-v4", Family::V4, 0x5eed_0004)
}

#[test]
fn ipv6_packets_meet_the_same_end_natively_and_loaded() -> Result<()> {
    same::compare::run("same-v6", Family::V6, 0x5eed_0006)
}

#[test]
fn sums_over_whole_packets_hold() -> Result<()> {
    same::compare::with_checksums("same-sums-v4", Family::V4, 0x5eed_0014, Checksums::Complete)?;
    same::compare::with_checksums("same-sums-v6", Family::V6, 0x5eed_0016, Checksums::Complete)
}

#[test]
fn sums_over_whole_packets_hold_before_linux_6_16() -> Result<()> {
    same::compare::with_checksums("same-sums-old", Family::V6, 0x5eed_0026, Checksums::CompleteWithoutFlag)
}

//! `cargo xtask test`: runs every stage whatever fails, and ends with one summary line.
//!
//! A test speaks to this runner by lines on its standard output. `SKIP: <why>` turns its pass into
//! a skip; `REPORT: <what was measured>` is shown. All else is shown only if the test fails.

mod binaries;
mod execute;
mod fuzz;
mod interrupt;
mod libtest;
mod runner;
mod stage;
mod summary;

pub use runner::{Options, run};

//! The decisions of a Service proxy, compiled to eBPF and run natively in tests.
//!
//! * [`abi`]: what the kernel's programs and the agent share, byte for byte.
//! * [`packet`]: parse, checksum and rewrite, over the trait [`packet::Packet`].
//! * [`lb`]: match a frontend, select a backend, follow flows, find source ports, give a verdict; over the trait
//!   [`lb::Env`], which supplies tables, clock, random numbers and the kernel's answers.
//! * `testing` (a feature): both traits over plain memory, for tests.
//!
//! Nothing here does IO, asks a clock or allocates.
#![cfg_attr(not(any(test, feature = "testing")), no_std)]

pub mod abi;
pub mod lb;
pub mod packet;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

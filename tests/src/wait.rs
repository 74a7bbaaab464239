//! Waiting for a condition with a deadline, so that no test sleeps for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};

/// Calls `check` every 5 ms until it gives a value; fails naming `what` when `limit` has passed.
pub fn until<T>(limit: Duration, what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = check() {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("gave up after {limit:?} waiting for {what}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// CLOCK_MONOTONIC in nanoseconds: one clock for all processes of the machine, so that reports of the traffic helper
/// and the events of a test can be compared.
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs()
}

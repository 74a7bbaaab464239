//! CPU time of the measuring thread: what else runs on the machine does not count. Where nothing blocks it is the time that passes
//! on an idle machine.

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of CPU time that `work` takes, and what it returns.
pub fn cpu_nanos<T>(work: impl FnOnce() -> T) -> Result<(f64, T)> {
    let start = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    let result = work();
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)? - start;
    Ok(((spent.tv_sec() as f64).mul_add(1e9, spent.tv_nsec() as f64), result))
}

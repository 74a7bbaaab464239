//! Counters, one for each hook and reason.

use crate::maps::COUNTERS;
use proxy_common::abi::{Hook, Reason};

/// Counts a packet of `bytes` bytes, or with 0 a system call.
#[inline(always)]
pub fn count(hook: Hook, reason: Reason, bytes: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(hook.slot(reason)) {
        // SAFETY: a slot of a per-CPU array, which only this CPU writes.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
    }
}

//! Memory that the start needed and the agent does not: the object, the kernel's types, what the verifier was given.
#![expect(unsafe_code, reason = "malloc_trim(3) has no safe binding")]

/// Gives freed memory back to the kernel: glibc keeps what lies between blocks in use, some ten megabytes after a start.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer, may be called at any time from any thread, and touches free blocks alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

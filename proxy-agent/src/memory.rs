//! The allocator, and memory that the start needed and the agent does not: the object, the kernel's types, what the verifier was given.
#![expect(unsafe_code, reason = "mi_collect has no safe binding")]

/// That of glibc gets two to three times slower once large lists were decoded and freed: what is allocated then is cut from the holes
/// between the facts that stay.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Gives back to the kernel what this thread has freed: ten megabytes after a start, of the thread that loaded the object.
pub fn give_back() {
    // SAFETY: mi_collect takes no pointer, may be called at any time from any thread, and touches free blocks alone.
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

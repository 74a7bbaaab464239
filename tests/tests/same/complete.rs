//! BPF_PROG_TEST_RUN on a packet that comes with a sum over all of it (CHECKSUM_COMPLETE), as many devices deliver them: the kernel
//! compares that sum with the packet that the program leaves (Linux 6.11).
//!
//! Unsafe: the bpf(2) system call, which takes pointers as integers. Invariant: every buffer outlives its call.
#![expect(unsafe_code, reason = "aya 0.14 cannot pass this flag")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result, bail};

const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_F_TEST_SKB_CHECKSUM_COMPLETE: u32 = 1 << 2;

/// The attributes of BPF_PROG_TEST_RUN.
#[repr(C)]
struct Attributes {
    program: u32,
    returned: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// Runs a tc program; what it returned, and how long the packet in `out` is. An error if the sum is wrong afterwards.
pub fn run(program: BorrowedFd<'_>, context: &[u8], frame: &[u8], out: &mut [u8]) -> Result<(u32, usize)> {
    let mut attributes = Attributes {
        program: program.as_raw_fd() as u32,
        returned: 0,
        data_size_in: frame.len() as u32,
        data_size_out: out.len() as u32,
        data_in: frame.as_ptr() as u64,
        data_out: out.as_mut_ptr() as u64,
        repeat: 0,
        duration: 0,
        ctx_size_in: context.len() as u32,
        ctx_size_out: 0,
        ctx_in: context.as_ptr() as u64,
        ctx_out: 0,
        flags: BPF_F_TEST_SKB_CHECKSUM_COMPLETE,
        cpu: 0,
        batch_size: 0,
        pad: 0,
    };
    // SAFETY: attributes, context, frame and output live until the call returns, and the sizes are theirs.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attributes, size_of_val(&attributes)) };
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        _ if result == 0 => Ok((attributes.returned, attributes.data_size_out as usize)),
        Some(libc::EBADMSG) => bail!("the sum over the whole packet is not what the packet adds up to"),
        _ => Err(error).context("BPF_PROG_TEST_RUN with a complete checksum"),
    }
}

//! An XDP program of two instructions that passes every frame: at the far end of a veth it makes frames that XDP sends
//! arrive, as they do on a real card.
//!
//! Unsafe: the bpf(2) system call, which takes pointers as integers. Invariant: the attribute unions are zeroed beyond
//! what they name, and every buffer outlives its call.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper that loads raw instructions")]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::netns::Netns;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// Linux 5.18. Without it a veth takes segmentation offload from the device at its other end.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// `r0 = XDP_PASS; exit`, as the kernel's `struct bpf_insn` encodes them (little-endian hosts).
const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];

/// The head of the load attributes; the kernel takes what is not given as zero.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
struct PinAttributes {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

/// Attaches the program to a device in native mode, for as long as the device lives. `pins` is a folder of the BPF file
/// system where it can be pinned.
pub fn attach(netns: &Netns, device: &str, pins: &Path) -> Result<()> {
    fs::create_dir_all(pins).with_context(|| format!("make {}", pins.display()))?;
    let pin = pins.join("pass");
    if !pin.exists() {
        let program = load().context("load an XDP program: run as root")?;
        pin_to(&program, &pin).with_context(|| format!("pin {}", pin.display()))?;
    }
    // `ip -n` would hide the BPF file system behind a /sys of its own.
    netns.run("ip", &["link", "set", "dev", device, "xdpdrv", "pinned", &pin.display().to_string()]).map(drop)
}

fn load() -> io::Result<OwnedFd> {
    let license = c"GPL";
    let attributes = LoadAttributes {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: PASS.len() as u32,
        insns: PASS.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: BPF_F_XDP_HAS_FRAGS,
    };
    // SAFETY: the attributes, the instructions and the license live until the call returns, and the size is theirs.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of_val(&attributes)) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn pin_to(program: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = PinAttributes { pathname: path.as_ptr() as u64, bpf_fd: program.as_raw_fd() as u32, file_flags: 0 };
    // SAFETY: the attributes and the path live until the call returns, and the size is theirs.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_PIN, &raw const attributes, size_of_val(&attributes)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! bpf(2), raw: the call itself, pins, and what the kernel says of an object. Maps and links build on it.
#![expect(unsafe_code, reason = "bpf(2) has no safe binding")]

use bytemuck::{Pod, Zeroable};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// Calls bpf(2).
///
/// # Safety
/// Every address in `attr` is that of a value which outlives the call and is as long as the command takes it to be.
pub unsafe fn call<A: Pod>(command: libc::c_long, attr: &mut A) -> Result<libc::c_long, Errno> {
    // SAFETY: `attr` is a live, initialised prefix of `union bpf_attr` of the size that is passed; its addresses are the caller's.
    Errno::result(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<A>()) })
}

/// Calls bpf(2) with a command that opens or makes an object.
///
/// # Safety
/// As [`call`], and the command returns a descriptor.
pub unsafe fn object<A: Pod>(command: libc::c_long, attr: &mut A) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller's.
    let fd = unsafe { call(command, attr) }?;
    // SAFETY: the kernel has just returned this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// Opens what is pinned at `path`.
pub fn open(path: &Path, flags: u32) -> Result<OwnedFd, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path ends with a zero and outlives the call.
    unsafe { object(OBJ_GET, &mut ObjectAttr { path: path.as_ptr() as u64, fd: 0, flags }) }
}

/// Pins an object at `path`: it outlives this process.
pub fn pin(object: &impl AsFd, path: &Path) -> Result<(), Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let mut attr = ObjectAttr { path: path.as_ptr() as u64, fd: fd_of(object), flags: 0 };
    // SAFETY: the path ends with a zero and outlives the call.
    unsafe { call(OBJ_PIN, &mut attr) }.map(drop)
}

/// What the kernel says of an object: `I` is the head of its `struct bpf_*_info`.
pub fn info<I: Pod>(object: &impl AsFd) -> Result<I, Errno> {
    let mut info = I::zeroed();
    let mut attr = InfoAttr { fd: fd_of(object), len: size_of::<I>() as u32, info: std::ptr::from_mut(&mut info) as u64 };
    // SAFETY: the kernel writes at most the stated length into `info`, for which every bit pattern is valid.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

/// The number of an object's descriptor, as attributes take it.
pub fn fd_of(object: &impl AsFd) -> u32 {
    object.as_fd().as_raw_fd() as u32
}

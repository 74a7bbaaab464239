//! Links of bpf(2), raw: create, swap the program, detach. One shape for cgroups, tcx and XDP.
//!
//! aya 0.14 can swap the program of a tcx and an XDP link, but not of a cgroup's, and keeps a link's kind in its type.
#![expect(unsafe_code, reason = "bpf(2) links and SO_NETNS_COOKIE have no safe binding")]

use crate::bpf::{self, fd_of};
use bytemuck::{Pod, Zeroable};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;
const LINK_DETACH: libc::c_long = 34;

const LINK_TYPE_CGROUP: u32 = 3;
const LINK_TYPE_XDP: u32 = 6;
const LINK_TYPE_TCX: u32 = 11;

const ATTACH_XDP: u32 = 37;
const ATTACH_TCX_INGRESS: u32 = 46;
const ATTACH_TCX_EGRESS: u32 = 47;
/// With no other program named: before all others.
const FLAG_BEFORE: u32 = 1 << 3;
const XDP_FLAGS_SKB: u32 = 1 << 1;
const XDP_FLAGS_DRIVER: u32 = 1 << 2;

/// What a link hangs on: as it is asked for, and as the kernel says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A hook of a cgroup.
    Cgroup {
        /// The cgroup's id; 0 once it is gone.
        id: u64,
        /// The hook's number (`enum bpf_attach_type`).
        hook: u32,
    },
    /// A device's tcx.
    Tcx {
        /// The device's index; 0 once it is gone.
        device: u32,
        /// Ingress or egress.
        egress: bool,
    },
    /// A device's XDP.
    Xdp {
        /// The device's index; 0 once it is gone.
        device: u32,
    },
    /// Something that is none of ours.
    Foreign,
}

impl Target {
    /// Whether what the link hangs on is still there.
    pub const fn exists(self) -> bool {
        match self {
            Self::Cgroup { id, .. } => id != 0,
            Self::Tcx { device, .. } | Self::Xdp { device } => device != 0,
            Self::Foreign => false,
        }
    }
}

/// Where XDP runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XdpPlace {
    /// In the driver.
    Native,
    /// In the stack, after the packet got a socket buffer.
    Generic,
}

/// A link.
pub struct Link(OwnedFd);

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct CreateAttr {
    program: u32,
    target: u32,
    hook: u32,
    flags: u32,
    tail: [u64; 4],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct UpdateAttr {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// The head of `struct bpf_link_info`: the union holds a cgroup's id and hook, or a device's index and hook.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    words: [u32; 6],
}

impl Link {
    /// Attaches to a hook of the cgroup whose folder is open as `folder`.
    pub fn cgroup(program: BorrowedFd<'_>, folder: BorrowedFd<'_>, hook: u32) -> io::Result<Self> {
        Self::create(program, folder.as_raw_fd() as u32, hook, 0)
    }

    /// Attaches to a device's tcx, before all programs that are there.
    pub fn tcx(program: BorrowedFd<'_>, device: u32, egress: bool) -> io::Result<Self> {
        let hook = if egress { ATTACH_TCX_EGRESS } else { ATTACH_TCX_INGRESS };
        Self::create(program, device, hook, FLAG_BEFORE)
    }

    /// Attaches to a device's XDP.
    pub fn xdp(program: BorrowedFd<'_>, device: u32, place: XdpPlace) -> io::Result<Self> {
        let flags = match place {
            XdpPlace::Native => XDP_FLAGS_DRIVER,
            XdpPlace::Generic => XDP_FLAGS_SKB,
        };
        Self::create(program, device, ATTACH_XDP, flags)
    }

    fn create(program: BorrowedFd<'_>, target: u32, hook: u32, flags: u32) -> io::Result<Self> {
        let mut attr = CreateAttr { program: program.as_raw_fd() as u32, target, hook, flags, tail: [0; 4] };
        // SAFETY: the attributes hold no address, and the kernel returns the link's descriptor.
        Ok(Self(unsafe { bpf::object(LINK_CREATE, &mut attr) }?))
    }

    /// Opens a pinned link.
    pub fn open(pin: &Path) -> io::Result<Self> {
        Ok(Self(bpf::open(pin, 0)?))
    }

    /// Pins the link: it outlives this process.
    pub fn pin(&self, pin: &Path) -> io::Result<()> {
        Ok(bpf::pin(&self.0, pin)?)
    }

    /// Exchanges the program; every packet or call runs the one or the other. ENOLINK if what it hung on is gone.
    pub fn swap(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut attr = UpdateAttr { link: fd_of(&self.0), program: fd_of(&program), flags: 0, old_program: 0 };
        // SAFETY: the attributes hold no address.
        Ok(unsafe { bpf::call(LINK_UPDATE, &mut attr) }.map(drop)?)
    }

    /// Takes the program off its hook, whoever else has the link open. ENOLINK if what it hung on is gone.
    pub fn detach(&self) -> io::Result<()> {
        // SAFETY: the attributes hold no address.
        Ok(unsafe { bpf::call(LINK_DETACH, &mut fd_of(&self.0)) }.map(drop)?)
    }

    /// What the link hangs on.
    pub fn target(&self) -> io::Result<Target> {
        let info: LinkInfo = bpf::info(&self.0)?;
        let word = info.words;
        Ok(match info.kind {
            LINK_TYPE_CGROUP => Target::Cgroup { id: u64::from(word[0]) | u64::from(word[1]) << 32, hook: word[2] },
            LINK_TYPE_TCX => Target::Tcx { device: word[0], egress: word[1] == ATTACH_TCX_EGRESS },
            LINK_TYPE_XDP => Target::Xdp { device: word[0] },
            _ => Target::Foreign,
        })
    }

    /// The kernel's id of the program.
    pub fn program(&self) -> io::Result<u32> {
        Ok(bpf::info::<LinkInfo>(&self.0)?.program)
    }
}

/// What is pinned somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pinned {
    /// A map.
    Map,
    /// A link.
    Link,
    /// A program, or anything else.
    Other,
}

/// What is pinned at `pin`, as /proc tells it.
pub fn pinned(pin: &Path) -> io::Result<Pinned> {
    let object = bpf::open(pin, 0)?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))?;
    let has = |field: &str| text.lines().any(|line| line.starts_with(field));
    Ok(match (has("map_type:"), has("link_type:")) {
        (true, _) => Pinned::Map,
        (_, true) => Pinned::Link,
        _ => Pinned::Other,
    })
}

/// The cookie of the network namespace that this thread is in.
pub fn netns_cookie() -> io::Result<u64> {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, 0))?;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `cookie`, which is that long and lives beyond the call.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if answer == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

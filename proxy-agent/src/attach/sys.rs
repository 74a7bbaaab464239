//! Links of bpf(2), raw: create, open, swap the program, pin, detach. One shape for cgroups, tcx and XDP.
//!
//! aya 0.14 can swap the program of a tcx and an XDP link, but not of a cgroup's, and keeps a link's kind in its type.
#![expect(unsafe_code, reason = "bpf(2) links and SO_NETNS_COOKIE have no safe binding")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
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

#[repr(C)]
struct CreateAttr {
    program: u32,
    target: u32,
    hook: u32,
    flags: u32,
    tail: [u64; 4],
}

#[repr(C)]
struct UpdateAttr {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

#[repr(C)]
struct PathAttr {
    path: u64,
    object: u32,
    flags: u32,
    folder: u64,
}

#[repr(C)]
struct InfoAttr {
    object: u32,
    length: u32,
    info: u64,
}

/// The head of `struct bpf_link_info`: the union holds a cgroup's id and hook, or a device's index and hook.
#[repr(C)]
#[derive(Default)]
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
        let fd = bpf(LINK_CREATE, &mut attr)?;
        Ok(Self(owned(fd)))
    }

    /// Opens a pinned link.
    pub fn open(pin: &Path) -> io::Result<Self> {
        open(pin).map(Self)
    }

    /// Pins the link: it outlives this process.
    pub fn pin(&self, pin: &Path) -> io::Result<()> {
        let path = CString::new(pin.as_os_str().as_bytes())?;
        let mut attr = PathAttr { path: path.as_ptr() as u64, object: self.0.as_raw_fd() as u32, flags: 0, folder: 0 };
        bpf(OBJ_PIN, &mut attr).map(drop)
    }

    /// Exchanges the program; every packet or call runs the one or the other. ENOLINK if what it hung on is gone.
    pub fn swap(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut attr =
            UpdateAttr { link: self.0.as_raw_fd() as u32, program: program.as_raw_fd() as u32, flags: 0, old_program: 0 };
        bpf(LINK_UPDATE, &mut attr).map(drop)
    }

    /// Takes the program off its hook, whoever else has the link open. ENOLINK if what it hung on is gone.
    pub fn detach(&self) -> io::Result<()> {
        let mut attr = self.0.as_raw_fd() as u32;
        bpf(LINK_DETACH, &mut attr).map(drop)
    }

    /// What the link hangs on.
    pub fn target(&self) -> io::Result<Target> {
        let info = self.info()?;
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
        Ok(self.info()?.program)
    }

    fn info(&self) -> io::Result<LinkInfo> {
        let mut info = LinkInfo::default();
        let mut attr =
            InfoAttr { object: self.0.as_raw_fd() as u32, length: size_of::<LinkInfo>() as u32, info: (&raw mut info) as u64 };
        bpf(OBJ_GET_INFO_BY_FD, &mut attr)?;
        Ok(info)
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
    let object = open(pin)?;
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

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut attr = PathAttr { path: path.as_ptr() as u64, object: 0, flags: 0, folder: 0 };
    bpf(OBJ_GET, &mut attr).map(owned)
}

fn bpf<A>(command: libc::c_long, attr: &mut A) -> io::Result<i32> {
    // SAFETY: `attr` is repr(C), initialised and as long as stated; the addresses in it (a path, an info buffer) belong to
    // values that the callers in this file keep alive over the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<A>()) };
    if answer >= 0 { Ok(answer as i32) } else { Err(io::Error::last_os_error()) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: bpf(2) just returned this descriptor to this call and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

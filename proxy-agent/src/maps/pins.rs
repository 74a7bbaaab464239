//! Pinned maps: opened only if they are what the agent takes them for.

use super::sys::{self, Shape};
use super::{Array, MapName, Mapping, Memory};
use bytemuck::Pod;
use nix::errno::Errno;
use proxy_common::abi::ABI_VERSION;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The folder of the pinned maps below the agent's pin folder.
pub const FOLDER: &str = "maps";

/// Whether a pin is opened to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// To look.
    Read,
    /// To change.
    Write,
}

/// A pinned map can't be used.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// Nothing is pinned there.
    #[error("no table at {}: start the agent first (`sluice run`), or name the pin folder of the one that runs with --bpffs", .0.display())]
    Missing(PathBuf),
    /// The kernel refused.
    #[error("cannot open the table at {}: {errno}; run as root, or with CAP_BPF and read access to the pin folder", .path.display())]
    Open {
        /// The pin.
        path: PathBuf,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The values cannot be mapped.
    #[error("cannot map the table at {} into memory: {error}; raise the memory limit of the agent", .path.display())]
    Mapping {
        /// The pin.
        path: PathBuf,
        /// The kernel's answer.
        error: io::Error,
    },
    /// It is another kind of map.
    #[error(
        "the table at {} was made by another version of sluice ({found}, not {wanted}): run `sluice cleanup` with that version, \
         which ends its connections, and start the agent again", .path.display()
    )]
    Shape {
        /// The pin.
        path: PathBuf,
        /// What it is.
        found: ShapeText,
        /// What it should be.
        wanted: ShapeText,
    },
    /// The tables have another meaning.
    #[error(
        "the tables at {} have layout {found}, this sluice has layout {ABI_VERSION}: run `sluice cleanup` with the version that \
         made them, which ends its connections, and start the agent again", .path.display()
    )]
    Abi {
        /// The folder.
        path: PathBuf,
        /// The layout's version.
        found: u32,
    },
}

/// A shape as a message shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShapeText(pub(super) Shape);

impl std::fmt::Display for ShapeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape { kind, key_size, value_size, max_entries, flags } = self.0;
        write!(f, "type {kind}, key {key_size}, value {value_size}, entries {max_entries}, flags {flags:#x}")
    }
}

/// Opens the pin of `map` below `bpffs`; what `wanted` gives as 0 entries may have any number.
pub(super) fn open(bpffs: &Path, map: &str, wanted: Shape, access: Access) -> Result<(OwnedFd, Shape), PinError> {
    let path = bpffs.join(FOLDER).join(map);
    let flags = if access == Access::Read { sys::RDONLY } else { 0 };
    let fd = match sys::open(&path, flags) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Err(PinError::Missing(path)),
        Err(errno) => return Err(PinError::Open { path, errno }),
    };
    let found = sys::shape(&fd).map_err(|errno| PinError::Open { path: path.clone(), errno })?;
    let entries = if wanted.max_entries == 0 { found.max_entries } else { wanted.max_entries };
    if found != (Shape { max_entries: entries, ..wanted }) {
        return Err(PinError::Shape { path, found: ShapeText(found), wanted: ShapeText(wanted) });
    }
    Ok((fd, found))
}

/// Opens a pinned array and maps its values. Only the mapping is read-only if asked for: the kernel maps no descriptor that is
/// (`do_mmap` takes VM_SHARED away, without which `bpf_map_mmap` refuses).
pub(super) fn array<T: Pod>(bpffs: &Path, map: MapName, access: Access) -> Result<Array<Mapping, T>, PinError> {
    let (fd, shape) = open(bpffs, map.as_str(), map.shape(), Access::Write)?;
    let bytes = shape.max_entries as usize * Array::<Mapping, T>::STRIDE * size_of::<u64>();
    let mapping = if access == Access::Read { Mapping::read_only(&fd, bytes) } else { Mapping::writable(&fd, bytes) };
    let mapping = mapping.map_err(|error| PinError::Mapping { path: bpffs.join(FOLDER).join(map.as_str()), error })?;
    Ok(Array::new(mapping, shape.max_entries))
}

/// Refuses tables of another layout. None at all, or an agent that ended before it wrote the layout's version, is fine.
pub(super) fn check_abi(bpffs: &Path) -> Result<(), PinError> {
    let path = bpffs.join(FOLDER);
    let config = path.join(MapName::Config.as_str());
    let fd = match sys::open(&config, 0) {
        Ok(fd) => fd,
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(PinError::Open { path: config, errno }),
    };
    let mapping = Mapping::read_only(&fd, size_of::<u64>()).map_err(|error| PinError::Mapping { path: config, error })?;
    let word = mapping.words().first().map_or(0, |word| word.load(Ordering::Relaxed));
    match bytemuck::cast::<u64, [u32; 2]>(word)[0] {
        0 | ABI_VERSION => Ok(()),
        found => Err(PinError::Abi { path, found }),
    }
}

//! Tables without programs: what tests and figures of the tables themselves run on.

use super::pins::FOLDER;
use super::sys::{self, Shape};
use super::{Capacity, MapName};
use nix::errno::Errno;
use std::path::Path;

/// Entries where neither capacity nor the map's meaning says how many.
const FEW: u32 = 1024;

/// Creates all tables but the socket storage, which needs type information, and pins them below `bpffs`.
pub fn create_pinned(bpffs: &Path, capacity: &Capacity) -> Result<(), Errno> {
    let folder = bpffs.join(FOLDER);
    std::fs::create_dir_all(&folder).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    for &map in MapName::ALL.iter().filter(|map| **map != MapName::Sockets) {
        let shape = map.shape();
        let entries = capacity.of(map).unwrap_or(if shape.max_entries == 0 { FEW } else { shape.max_entries });
        let fd = sys::create(map.as_str(), Shape { max_entries: entries, ..shape })?;
        sys::pin(&fd, &folder.join(map.as_str()))?;
    }
    Ok(())
}

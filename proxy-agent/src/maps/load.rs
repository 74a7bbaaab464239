//! The object into the kernel: tables that are pinned stay, the rest is made as large as this machine allows, and pinned.

use super::kernel::{self, KernelMaps};
use super::pins::{self, Access, FOLDER, PinError, ShapeText};
use super::room::Rooms;
use super::sys::Shape;
use super::{Capacity, MapName};
use aya::maps::MapError;
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_obj::{EbpfSectionKind, Object, ParseError};
use proxy_common::abi::{ABI_VERSION, Config};
use std::path::Path;

/// How the object is loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// The pin folder, which is there ([`crate::attach::bpffs::prepare`]).
    pub bpffs: &'a Path,
    /// How large new tables shall be; tables that exist stay as they are.
    pub capacity: Capacity,
    /// Whether the kernel's checksum helper knows BPF_F_IPV6 (Linux 6.16).
    pub checksum_ipv6: bool,
    /// Replaces the kernel's random numbers; for tests.
    pub seed: Option<u64>,
}

/// The object can't be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A pinned table can't be adopted.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The object in the binary is damaged.
    #[error("the eBPF object in this binary cannot be read: {0}; build it again with `cargo xtask build`")]
    Object(#[from] ParseError),
    /// Object and agent come from different sources.
    #[error(
        "table {map} of the eBPF object is not what the agent expects ({found}, not {wanted}): build both again with `cargo xtask build`"
    )]
    Definition {
        /// The table.
        map: MapName,
        /// What the object says.
        found: ShapeText,
        /// What the agent says.
        wanted: ShapeText,
    },
    /// A table is larger than the machine or the container allows.
    #[error(
        "there is no memory for table {0}: give tables fewer entries with --table-entries, or raise the container's memory limit, which \
         counts them"
    )]
    Memory(String),
    /// The kernel refused the object.
    #[error("the kernel does not load the tables or their programs: {0}; it must be 6.7 or newer, and the agent needs CAP_BPF")]
    Kernel(#[source] EbpfError),
}

impl From<EbpfError> for LoadError {
    fn from(error: EbpfError) -> Self {
        match error {
            EbpfError::MapError(MapError::CreateError { name, io_error })
                if matches!(io_error.raw_os_error(), Some(libc::ENOMEM | libc::E2BIG)) =>
            {
                Self::Memory(name)
            }
            error => Self::Kernel(error),
        }
    }
}

/// Loads `object`. Tables below `options.bpffs` are adopted if they are what the object says, and refused otherwise.
pub fn load(object: &[u8], options: &LoadOptions<'_>) -> Result<(KernelMaps, Ebpf), LoadError> {
    pins::check_abi(options.bpffs)?;
    let definitions = definitions(object)?;
    check_pins(options.bpffs, &definitions)?;
    let capacity = kernel::capacity(options.bpffs, options.capacity)?;
    let mut loader = EbpfLoader::new();
    for (name, _) in &definitions {
        loader.map_pin_path(name, options.bpffs.join(FOLDER).join(name));
    }
    for map in MapName::ALL {
        if let Some(entries) = capacity.of(*map) {
            loader.map_max_entries(map.as_str(), entries);
        }
    }
    let checksum_ipv6 = u32::from(options.checksum_ipv6);
    loader.override_global("CSUM_IPV6", &checksum_ipv6, true);
    if let Some(seed) = &options.seed {
        loader.override_global("SEED", seed, true);
    }
    let made: Vec<&str> =
        definitions.iter().map(|(name, _)| name.as_str()).filter(|name| !is_pinned(options.bpffs, name)).collect();
    // aya pins each table as it makes it; the next start would adopt a part, as large as it is.
    let ebpf = loader.load(object).inspect_err(|_| unpin(options.bpffs, &made))?;
    mark_abi(options.bpffs)?;
    Rooms::open(options.bpffs)?.set_quotas(&capacity);
    Ok((KernelMaps::open(options.bpffs, Access::Write)?, ebpf))
}

fn is_pinned(bpffs: &Path, name: &str) -> bool {
    bpffs.join(FOLDER).join(name).exists()
}

/// Removes tables that nobody uses yet.
fn unpin(bpffs: &Path, names: &[&str]) {
    for name in names {
        // One that was not made either is not there.
        let _ = std::fs::remove_file(bpffs.join(FOLDER).join(name));
    }
}

/// The object's maps, without those that the compiler makes for static data.
fn definitions(object: &[u8]) -> Result<Vec<(String, Shape)>, LoadError> {
    let object = Object::parse(object)?;
    let mut all: Vec<(String, Shape)> = object
        .maps
        .iter()
        .filter(|(_, map)| matches!(map.section_kind(), EbpfSectionKind::BtfMaps | EbpfSectionKind::Maps))
        .map(|(name, map)| (name.clone(), shape(map)))
        .collect();
    all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for &map in MapName::ALL {
        let Some((_, found)) = all.iter().find(|(name, _)| name == map.as_str()) else { continue };
        let wanted = map.shape();
        if (Shape { max_entries: wanted.max_entries, ..*found }) != wanted {
            return Err(LoadError::Definition { map, found: ShapeText(*found), wanted: ShapeText(wanted) });
        }
    }
    Ok(all)
}

const fn shape(map: &aya_obj::Map) -> Shape {
    Shape {
        kind: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags: map.map_flags(),
    }
}

/// aya 0.14 takes whatever is pinned under a map's name.
fn check_pins(bpffs: &Path, definitions: &[(String, Shape)]) -> Result<(), PinError> {
    for (name, shape) in definitions {
        let sized = MapName::ALL.iter().any(|map| map.as_str() == name && map.shape().max_entries == 0);
        let wanted = if sized { Shape { max_entries: 0, ..*shape } } else { *shape };
        match pins::open(bpffs, name, wanted, Access::Read) {
            Ok(_) | Err(PinError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn mark_abi(bpffs: &Path) -> Result<(), PinError> {
    let config = pins::array::<Config>(bpffs, MapName::Config, Access::Write)?;
    config.store(0, Config { abi: ABI_VERSION, ..config.load(0) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_table_without_memory_is_told_by_name() {
        let refused = |errno| {
            let io_error = io::Error::from_raw_os_error(errno);
            LoadError::from(EbpfError::MapError(MapError::CreateError { name: "FLOWS".into(), io_error })).to_string()
        };
        assert!(
            refused(libc::ENOMEM)
                .starts_with("there is no memory for table FLOWS: give tables fewer entries with --table-entries")
        );
        assert!(refused(libc::EINVAL).starts_with("the kernel does not load the tables"));
    }
}

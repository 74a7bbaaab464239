//! The folder of pins of one instance: `maps` and `links` below it, on a bpf file system.

use super::sys::{self, Pinned};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use std::fs::{DirBuilder, remove_dir, remove_file};
use std::io;
use std::io::ErrorKind::{DirectoryNotEmpty, NotFound, ResourceBusy};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Where every distribution mounts it.
const USUAL: &str = "/sys/fs/bpf";

/// Why there is no folder to pin in.
#[derive(Debug, thiserror::Error)]
pub enum BpffsError {
    /// The folder lies on another file system.
    #[error("{0} is on no bpf file system: mount one there (`mount -t bpf bpf DIR`) or choose --bpffs below {USUAL}")]
    Elsewhere(PathBuf),
    /// The usual place has none, and mounting failed.
    #[error("no bpf file system is mounted at {USUAL}, and mounting failed ({0}): run `mount -t bpf bpf {USUAL}` as root")]
    Mount(io::Error),
    /// The folder can't be made or read.
    #[error("{path}: {source}; run as root, or choose another folder with --bpffs")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Makes the instance's folder with those of its maps and links, for root alone; mounts the file system at its usual place if
/// it is missing there.
pub fn prepare(root: &Path) -> Result<(), BpffsError> {
    if !is_bpffs(root) && root.starts_with(USUAL) {
        mount(Some("bpf"), USUAL, Some("bpf"), MsFlags::empty(), None::<&str>)
            .map_err(|error| BpffsError::Mount(error.into()))?;
        tracing::info!(path = USUAL, "mounted the bpf file system");
    }
    if !is_bpffs(root) {
        return Err(BpffsError::Elsewhere(root.into()));
    }
    for folder in [maps(root), links(root)] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| BpffsError::Folder { path: folder, source })?;
    }
    Ok(())
}

/// The folder of pinned maps.
pub fn maps(root: &Path) -> PathBuf {
    root.join("maps")
}

/// The folder of pinned links.
pub fn links(root: &Path) -> PathBuf {
    root.join("links")
}

/// Whether there is such a folder; an error if it is on another file system, where nothing is ours.
pub fn exists(root: &Path) -> Result<bool, BpffsError> {
    match (root.exists(), is_bpffs(root)) {
        (true, false) => Err(BpffsError::Elsewhere(root.into())),
        (exists, _) => Ok(exists),
    }
}

/// Names of what is pinned in a folder and of that kind, sorted; none if the folder is missing.
pub fn pins(folder: &Path, kind: Pinned) -> Result<Vec<String>, BpffsError> {
    let failed = |source| BpffsError::Folder { path: folder.into(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_file() && sys::pinned(&entry.path()).map_err(failed)? == kind {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Removes every map pinned in the instance's folder, then the folders unless something else is in them; the names of these
/// maps.
pub fn remove(root: &Path) -> Result<Vec<String>, BpffsError> {
    let folder = maps(root);
    let mut names = pins(&folder, Pinned::Map)?;
    names.retain(|name| is_map_name(name));
    for path in names.iter().map(|name| folder.join(name)) {
        remove_file(&path).map_err(|source| BpffsError::Folder { path, source })?;
    }
    for path in [folder, links(root), root.to_path_buf()] {
        match remove_dir(&path) {
            Err(source) if !matches!(source.kind(), NotFound | DirectoryNotEmpty | ResourceBusy) => {
                return Err(BpffsError::Folder { path, source });
            }
            _ => {}
        }
    }
    Ok(names)
}

/// Maps of every version are named in capitals.
fn is_map_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Whether the closest folder of the path that exists lies on a bpf file system.
fn is_bpffs(path: &Path) -> bool {
    path.ancestors()
        .find(|folder| folder.exists())
        .and_then(|folder| statfs(folder).ok())
        .is_some_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let error = prepare(&folder.path().join("sluice")).unwrap_err();
        assert!(matches!(error, BpffsError::Elsewhere(_)), "{error}");
    }

    #[test]
    fn a_folder_on_another_file_system_is_none_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(exists(folder.path()), Err(BpffsError::Elsewhere(_))));
        assert!(!exists(&folder.path().join("sluice")).unwrap());
    }

    #[test]
    fn nothing_to_remove() {
        let folder = tempfile::tempdir().unwrap();
        assert!(remove(&folder.path().join("sluice")).unwrap().is_empty());
    }
}

//! A cgroup v2 folder: where the unified hierarchy is mounted, on hybrid machines too, and folders below it.
//!
//! Invariant: nothing is ever attached to or moved into the root of the hierarchy.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// One folder of the unified hierarchy.
#[derive(Clone, Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the folder `name`, below the root of the hierarchy.
    pub fn create(name: &str) -> Result<Self> {
        Self::make(mount()?.join(name))
    }

    /// Makes a folder below this one.
    pub fn child(&self, name: &str) -> Result<Self> {
        Self::make(self.path.join(name))
    }

    fn make(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("make {}: run as root", path.display()))?;
        Ok(Self { path })
    }

    /// Where it is in the file system.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills every process in it and below, and removes it with all its folders.
    pub fn remove(&self) -> Result<()> {
        remove(&self.path)
    }
}

/// Removes the folder `name` below the root of the hierarchy, if it is there, with every process in it.
pub fn remove_named(name: &str) -> Result<()> {
    remove(&mount()?.join(name))
}

/// The mount point of the unified hierarchy.
pub fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    let found = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, folder, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(folder))
    });
    found.context("no cgroup v2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")
}

fn remove(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    fs::write(path.join("cgroup.kill"), "1").with_context(|| format!("kill what runs in {}", path.display()))?;
    // A killed process leaves its folder only once it has been torn down, which takes a moment.
    for _ in 0..200 {
        if remove_tree(path).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("{} still holds processes two seconds after they were killed", path.display())
}

fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

//! Programs out of Debian packages that are not installed: their services would start with the machine.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::setup::packages::{Package, apt_get, update};

/// Puts `program`, a path in the package, into the file `to`, unless that is there.
pub fn unpacked(package: &Package, program: &str, to: &Path) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    println!("setup: fetching package {}, which is not installed; it is for {}", package.name, package.reason);
    let folder = to.with_extension("package");
    fs::create_dir_all(&folder)?;
    update()?;
    // As root, apt would warn that its own user can't write to the folder.
    process::run(apt_get().current_dir(&folder).args(["-qq", "-o", "APT::Sandbox::User=root", "download", package.name]))?;
    let archive = archive(&folder)?;
    process::run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&folder))?;
    fs::rename(folder.join(program), to).with_context(|| format!("taking {program} out of {}", package.name))?;
    Ok(fs::remove_dir_all(folder)?)
}

fn archive(folder: &Path) -> Result<std::path::PathBuf> {
    let paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).context("apt-get has downloaded nothing")
}

//! The tool chain for `proxy-ebpf`: a compiler that accepts `-Z build-std` and has the sources of
//! `core`. Either a rustup nightly with `rust-src`, or Debian's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::process;
use crate::setup::{Package, packages};

/// Debian's compiler, in the version that its browsers need, with its sources.
const DEBIAN: [Package; 3] = [
    Package { name: "rustc-web", reason: "compiling the eBPF programs" },
    Package { name: "cargo-web", reason: "compiling the eBPF programs" },
    Package { name: "rust-web-src", reason: "building core for the eBPF target" },
];
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";
/// proxy-common, which proxy-ebpf compiles too, is written for this release.
const OLDEST: (u32, u32) = (1, 95);

/// A tool chain that can compile `proxy-ebpf`.
pub struct EbpfToolchain {
    cargo: PathBuf,
    rustc: PathBuf,
    stable: bool,
    /// Major version of the LLVM in its compiler; the linker must read the same bitcode.
    pub llvm: u32,
}

impl EbpfToolchain {
    /// Its cargo, ready for a sub-command.
    pub fn cargo(&self) -> Command {
        let mut command = process::foreign_cargo(&self.cargo);
        command.env("RUSTC", &self.rustc);
        if self.stable {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// Whether clippy came with it; Debian's has none.
    pub fn has_clippy(&self) -> bool {
        !self.stable && self.cargo.with_file_name("cargo-clippy").exists()
    }
}

/// Finds a tool chain for eBPF, and installs Debian's when there is none.
pub fn ebpf_toolchain() -> Result<EbpfToolchain> {
    if let Some(found) = nightly().or_else(debian) {
        return Ok(found);
    }
    packages(&DEBIAN).context(
        "no compiler for eBPF; a rustup nightly would do too: \
         rustup toolchain install nightly --component rust-src",
    )?;
    let Some(found) = debian() else {
        bail!("rustc-web is installed, but /usr/bin/rustc is not at least {OLDEST:?}");
    };
    Ok(found)
}

fn nightly() -> Option<EbpfToolchain> {
    let mut folders: Vec<PathBuf> = fs::read_dir(paths::rustup_home().join("toolchains"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"nightly")))
        .filter(|path| path.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists())
        .collect();
    folders.sort();
    folders.iter().rev().find_map(|folder| probe(&folder.join("bin"), false))
}

fn debian() -> Option<EbpfToolchain> {
    if !Path::new(DEBIAN_SOURCES).exists() {
        return None;
    }
    probe(Path::new("/usr/bin"), true)
}

fn probe(bin: &Path, stable: bool) -> Option<EbpfToolchain> {
    let (cargo, rustc) = (bin.join("cargo"), bin.join("rustc"));
    if !cargo.exists() {
        return None;
    }
    let version = Command::new(&rustc).arg("-vV").output().ok()?;
    let (release, llvm) = parse_version(&String::from_utf8(version.stdout).ok()?)?;
    (release >= OLDEST).then_some(EbpfToolchain { cargo, rustc, stable, llvm })
}

/// Release and LLVM version out of `rustc -vV`.
fn parse_version(text: &str) -> Option<((u32, u32), u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let mut release = field("release: ")?.split('.').map(str::parse);
    let release = (release.next()?.ok()?, release.next()?.ok()?);
    let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((release, llvm))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions_of_stable_and_nightly() {
        let stable = "rustc 1.96.0\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(parse_version(stable), Some(((1, 96), 22)));
        let nightly = "rustc 1.97.0-nightly\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(parse_version(nightly), Some(((1, 97), 22)));
        assert_eq!(parse_version("rustc 1.63\n"), None);
    }
}

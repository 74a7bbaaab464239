//! `bpf-linker`, built against the LLVM of the compiler whose bitcode it reads.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::process;
use crate::setup::{EbpfToolchain, Package, packages};

const VERSION: &str = "0.13.0";
const REASON: &str = "bpf-linker, which links the eBPF programs";
/// The LLVM that Debian 12 and its compiler share.
const DEBIAN_LLVM: u32 = 22;
const DEBIAN: [Package; 5] = [
    Package { name: "llvm-22-dev", reason: REASON },
    Package { name: "libpolly-22-dev", reason: REASON },
    Package { name: "clang-22", reason: REASON },
    Package { name: "libzstd-dev", reason: REASON },
    Package { name: "zlib1g-dev", reason: REASON },
];

/// The linker's path; it is installed when missing.
pub fn bpf_linker(toolchain: &EbpfToolchain) -> Result<PathBuf> {
    let path = paths::cargo_home().join("bin/bpf-linker");
    if works(&path) {
        return Ok(path);
    }
    if toolchain.llvm != DEBIAN_LLVM {
        bail!(
            "no {}, and Debian has no LLVM {} to build it with; run: cargo install bpf-linker",
            path.display(),
            toolchain.llvm
        );
    }
    packages(&DEBIAN)?;
    println!("setup: cargo install bpf-linker {VERSION} (links the eBPF programs; about a minute)");
    process::run(
        process::cargo_install().env("LLVM_PREFIX", "/usr/lib/llvm-22").args(["bpf-linker", "--version", VERSION]).args([
            "--no-default-features",
            "--features",
            "llvm-22",
        ]),
    )
    .context("installing bpf-linker")?;
    Ok(path)
}

/// A linker that was built against a library which is gone does not even start.
fn works(path: &PathBuf) -> bool {
    Command::new(path).arg("--version").output().is_ok_and(|output| output.status.success())
}

//! rustfmt and clippy, over the workspace and over the two crates beside it: `proxy-ebpf` and the fuzz targets.

use anyhow::{Context, Result};

use crate::build;
use crate::process;
use crate::setup;

/// Crates outside the workspace.
const BESIDE: [&str; 2] = ["proxy-ebpf/Cargo.toml", FUZZ];
const FUZZ: &str = "proxy-agent/fuzz/Cargo.toml";

/// Everything is formatted.
pub fn form() -> Result<()> {
    process::run(process::host_cargo().args(["fmt", "--all", "--check"])).context("run: cargo fmt --all")?;
    BESIDE.iter().try_for_each(|manifest| {
        let mended = format!("run: cargo fmt --manifest-path {manifest}");
        process::run(process::host_cargo().args(["fmt", "--manifest-path", manifest, "--check"])).context(mended)
    })
}

/// Nobody warns: clippy over the workspace and the fuzz targets, clippy or the compiler over the eBPF crate.
pub fn lints() -> Result<()> {
    build::placeholder()?;
    let workspace = ["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    process::run(process::host_cargo().args(workspace))?;
    setup::packages(&setup::FUZZ)?;
    let fuzz = ["clippy", "--manifest-path", FUZZ, "--target-dir", "target/fuzz", "--quiet", "--", "-D", "warnings"];
    process::run(process::host_cargo().args(fuzz))?;
    if setup::ebpf_toolchain()?.has_clippy() {
        return process::run(build::ebpf_cargo("clippy")?.args(["--", "-D", "warnings"]));
    }
    let denied = ["-Z", "warnings", "--config", "build.warnings='deny'"];
    process::run(build::ebpf_cargo("build")?.args(denied))
}

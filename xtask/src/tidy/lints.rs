//! rustfmt and clippy, over the workspace and over `proxy-ebpf`.

use anyhow::{Context, Result};

use crate::build;
use crate::process;
use crate::setup;

/// Everything is formatted.
pub fn form() -> Result<()> {
    let mended = "run: cargo fmt --all; cargo fmt --manifest-path proxy-ebpf/Cargo.toml";
    process::run(process::host_cargo().args(["fmt", "--all", "--check"])).context(mended)?;
    process::run(process::host_cargo().args(["fmt", "--manifest-path", "proxy-ebpf/Cargo.toml", "--check"])).context(mended)
}

/// Nobody warns: clippy over the workspace, clippy or the compiler over the eBPF crate.
pub fn lints() -> Result<()> {
    build::placeholder()?;
    let workspace = ["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    process::run(process::host_cargo().args(workspace))?;
    if setup::ebpf_toolchain()?.has_clippy() {
        return process::run(build::ebpf_cargo("clippy")?.args(["--", "-D", "warnings"]));
    }
    let denied = ["-Z", "warnings", "--config", "build.warnings='deny'"];
    process::run(build::ebpf_cargo("build")?.args(denied))
}

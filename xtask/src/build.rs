//! Builds the eBPF object, then the agent that carries it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths;
use crate::process;
use crate::setup;

const EBPF_TARGET: &str = "bpfel-unknown-none";
/// Types for maps and programs; and copies and zeroing as loads and stores: the linker's default leaves what may overlap to a
/// function that goes byte by byte.
const LINKER_FLAGS: [&str; 2] = ["-Clink-arg=--btf", "-Clink-arg=--disable-expand-memcpy-in-order"];

/// Builds `target/release/sluice` with its eBPF programs inside, and returns its path.
pub fn sluice() -> Result<PathBuf> {
    ebpf()?;
    process::run(process::host_cargo().args(["build", "--release", "--package", "proxy-agent", "--bin", "sluice"]))?;
    Ok(paths::sluice())
}

/// Builds `target/ebpf/sluice.o` and returns its path.
pub fn ebpf() -> Result<PathBuf> {
    ebpf_program("sluice-ebpf", paths::ebpf_object())
}

/// Builds `target/ebpf/reference.o`, which only the bench loads, and returns its path.
pub fn ebpf_reference() -> Result<PathBuf> {
    ebpf_program("reference", paths::ebpf_object().with_file_name("reference.o"))
}

fn ebpf_program(name: &str, object: PathBuf) -> Result<PathBuf> {
    let mut cargo = ebpf_cargo("build")?;
    process::run(cargo.args(["--bin", name])).context("building proxy-ebpf")?;
    publish(&ebpf_target_dir().join(EBPF_TARGET).join("release").join(name), object)
}

/// A sub-command of the eBPF tool chain's cargo over `proxy-ebpf`, as the build runs it.
pub fn ebpf_cargo(subcommand: &str) -> Result<Command> {
    let toolchain = setup::ebpf_toolchain()?;
    let linker = setup::bpf_linker(&toolchain)?;
    let linker = format!("-Clinker={}", linker.display());
    let flags = [&[linker.as_str()][..], &LINKER_FLAGS].concat();
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(paths::root().join("proxy-ebpf"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args([subcommand, "--release", "-Z", "build-std=core", "--target", EBPF_TARGET])
        .arg("--target-dir")
        .arg(ebpf_target_dir());
    Ok(cargo)
}

/// Lets the agent compile where no eBPF object has been built: its pure tests never load it.
pub fn placeholder() -> Result<()> {
    let object = paths::ebpf_object();
    if !object.exists() {
        fs::create_dir_all(object.with_file_name(""))?;
        fs::write(&object, []).with_context(|| format!("writing {}", object.display()))?;
    }
    Ok(())
}

fn ebpf_target_dir() -> PathBuf {
    paths::target().join("ebpf-build")
}

/// Copies a changed object to where the agent includes it; an unchanged one keeps its time, so
/// that the agent is not linked again.
fn publish(built: &Path, object: PathBuf) -> Result<PathBuf> {
    let bytes = fs::read(built).with_context(|| format!("reading {}", built.display()))?;
    if fs::read(&object).ok().as_ref() != Some(&bytes) {
        fs::create_dir_all(object.with_file_name(""))?;
        fs::write(&object, &bytes).with_context(|| format!("writing {}", object.display()))?;
    }
    println!("build: {} ({} bytes)", object.display(), bytes.len());
    Ok(object)
}

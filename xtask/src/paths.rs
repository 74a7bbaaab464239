//! Where things are: in the repository and in the caller's home. Nothing here touches the disk.

use std::env;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn root() -> PathBuf {
    let xtask =
        env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().unwrap_or(&xtask).to_path_buf()
}

/// Everything that is built, whatever `CARGO_TARGET_DIR` says: the agent looks for its eBPF object here.
pub fn target() -> PathBuf {
    root().join("target")
}

/// The eBPF object that `sluice` carries; `.cargo/config.toml` names the same file.
pub fn ebpf_object() -> PathBuf {
    target().join("ebpf/sluice.o")
}

/// The agent's binary.
pub fn sluice() -> PathBuf {
    target().join("release/sluice")
}

/// Where cargo installs programs.
pub fn cargo_home() -> PathBuf {
    env::var_os("CARGO_HOME").map(PathBuf::from).unwrap_or_else(|| home().join(".cargo"))
}

/// Where rustup keeps its tool chains.
pub fn rustup_home() -> PathBuf {
    env::var_os("RUSTUP_HOME").map(PathBuf::from).unwrap_or_else(|| home().join(".rustup"))
}

/// The cargo that runs this task.
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("cargo"))
}

fn home() -> PathBuf {
    env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| Path::new("/root").to_path_buf())
}

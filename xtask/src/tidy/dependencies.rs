//! cargo-deny over both lock files, by `deny.toml`.
//!
//! Advisories are left to `cargo deny check advisories`, which fetches a database.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::paths;
use crate::process;

const VERSION: &str = "0.20.2";

/// No banned crate, no unknown licence, no foreign registry.
pub fn check() -> Result<()> {
    let deny = cargo_deny()?;
    for manifest in ["Cargo.toml", "proxy-ebpf/Cargo.toml"] {
        let mut command = Command::new(&deny);
        command.env("CARGO", paths::cargo()).current_dir(paths::root());
        command.args(["--log-level", "error", "--config", "deny.toml", "--manifest-path", manifest]);
        process::run(command.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

fn cargo_deny() -> Result<PathBuf> {
    let path = paths::cargo_home().join("bin/cargo-deny");
    if !path.exists() {
        println!("setup: cargo install cargo-deny {VERSION} (checks licences and sources; some minutes)");
        process::run(process::cargo_install().args(["cargo-deny", "--version", VERSION]))?;
    }
    Ok(path)
}

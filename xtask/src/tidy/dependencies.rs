//! cargo-deny over every lock file, by `deny.toml`.
//!
//! Advisories are left to `cargo deny check advisories`, which fetches a database.

use std::process::Command;

use anyhow::Result;

use crate::paths;
use crate::process;
use crate::setup;

/// Each lock file.
const LOCKED: [&str; 3] = ["Cargo.toml", "proxy-ebpf/Cargo.toml", "proxy-agent/fuzz/Cargo.toml"];

/// No banned crate, no unknown licence, no foreign registry.
pub fn check() -> Result<()> {
    let deny = setup::cargo_deny()?;
    for manifest in LOCKED {
        let mut command = Command::new(&deny);
        command.env("CARGO", paths::cargo()).current_dir(paths::root());
        command.args(["--log-level", "error", "--config", "deny.toml", "--manifest-path", manifest]);
        process::run(command.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;
    }
    Ok(())
}

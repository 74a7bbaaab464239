//! cargo-deny, which checks licences and where crates come from.

use std::path::PathBuf;

use anyhow::Result;

use crate::paths;
use crate::process;

const VERSION: &str = "0.20.2";

/// The program's path; it is installed when missing.
pub fn cargo_deny() -> Result<PathBuf> {
    let path = paths::cargo_home().join("bin/cargo-deny");
    if !path.exists() {
        println!("setup: cargo install cargo-deny {VERSION} (checks licences and sources; some minutes)");
        process::run(process::cargo_install().args(["cargo-deny", "--version", VERSION]))?;
    }
    Ok(path)
}

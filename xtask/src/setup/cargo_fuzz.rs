//! cargo-fuzz, which builds fuzz targets with the coverage that guides them.

use anyhow::Result;

use crate::paths;
use crate::process;

const VERSION: &str = "0.13.2";

/// Installs it when it is missing.
pub fn cargo_fuzz() -> Result<()> {
    if !paths::cargo_home().join("bin/cargo-fuzz").exists() {
        println!("setup: cargo install cargo-fuzz {VERSION} (runs the fuzz targets; about a minute)");
        process::run(process::cargo_install().args(["cargo-fuzz", "--version", VERSION]))?;
    }
    Ok(())
}

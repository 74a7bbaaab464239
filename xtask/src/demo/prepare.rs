//! What must be there before the story begins: root, the tools, and the two programs.

use anyhow::{Result, bail};

use crate::build;
use crate::process;
use crate::setup;

/// Refuses to go on without root, and says how to get it.
pub fn need_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("network namespaces and eBPF need root; run: sudo --preserve-env=PATH,HOME cargo xtask demo");
    }
    Ok(())
}

/// Installs what is missing and builds the agent and the traffic helper.
pub fn build() -> Result<()> {
    setup::packages(&setup::NETWORK)?;
    build::sluice()?;
    process::run(process::host_cargo().args(["build", "--release", "--quiet", "--package", "sluice-tests", "--bins"]))
}

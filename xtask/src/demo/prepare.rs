//! What must be there before the story begins: root, the tools, and the two programs.

use anyhow::{Result, bail};

use crate::build;
use crate::process;
use crate::setup::{self, Package};

/// What the cluster is made with.
const PACKAGES: [Package; 2] = [
    Package { name: "iproute2", reason: "the network namespaces that act as nodes and pods" },
    Package { name: "ethtool", reason: "offloads of their devices" },
];

/// Refuses to go on without root, and says how to get it.
pub fn need_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("network namespaces and eBPF need root; run: sudo --preserve-env=PATH,HOME cargo xtask demo");
    }
    Ok(())
}

/// Installs what is missing and builds the agent and the traffic helper.
pub fn build() -> Result<()> {
    setup::packages(&PACKAGES)?;
    build::sluice()?;
    process::run(process::host_cargo().args(["build", "--release", "--quiet", "--package", "sluice-tests", "--bins"]))
}

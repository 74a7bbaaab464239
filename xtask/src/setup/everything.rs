//! All tools at once, for machines that are prepared before they are cut off.

use anyhow::Result;

use crate::controlplane;
use crate::setup::{CONTROL_PLANE, FUZZ, NETWORK, bpf_linker, cargo_deny, cargo_fuzz, ebpf_toolchain, packages};

/// Installs the tools of every task.
pub fn everything() -> Result<()> {
    packages(&NETWORK)?;
    packages(&CONTROL_PLANE)?;
    bpf_linker(&ebpf_toolchain()?)?;
    cargo_deny()?;
    packages(&FUZZ)?;
    cargo_fuzz()?;
    controlplane::build()?;
    println!("setup: done");
    Ok(())
}

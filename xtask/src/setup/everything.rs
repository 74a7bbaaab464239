//! All tools at once, for machines that are prepared before they are cut off.

use anyhow::Result;

use crate::controlplane;
use crate::setup::{bpf_linker, ebpf_toolchain};

/// Installs the tools of every task.
pub fn everything() -> Result<()> {
    let toolchain = ebpf_toolchain()?;
    bpf_linker(&toolchain)?;
    controlplane::build()?;
    println!("setup: done");
    Ok(())
}

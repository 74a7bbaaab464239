//! `sluice cleanup`: removes what the agent of an instance left.

use super::output;
use crate::config::DEFAULT_BPFFS;
use crate::lifecycle;
use std::path::PathBuf;

/// Flags of `sluice cleanup`.
#[derive(clap::Args, Clone, Debug)]
pub struct CleanupArgs {
    /// Folder of pins that tells which instance is meant
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,
}

/// Runs the command.
pub fn run(args: &CleanupArgs) -> anyhow::Result<()> {
    let removed = lifecycle::cleanup(&args.bpffs)?;
    if removed.links.is_empty() && removed.maps.is_empty() {
        output::print(&format!("nothing to remove at {}", args.bpffs.display()))?;
        return Ok(());
    }
    for (what, names) in [("link", &removed.links), ("map", &removed.maps)] {
        for name in names {
            output::print(&format!("removed {what} {name}"))?;
        }
    }
    Ok(())
}

//! What must be there before the story begins: the tools, and the two programs.

use anyhow::Result;

use crate::build;
use crate::process;
use crate::setup;

/// Installs what is missing and builds the agent and the traffic helper.
pub fn build() -> Result<()> {
    setup::packages(&setup::NETWORK)?;
    build::sluice()?;
    process::run(process::host_cargo().args(["build", "--release", "--quiet", "--package", "sluice-tests", "--bins"]))
}

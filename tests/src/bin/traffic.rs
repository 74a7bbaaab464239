//! The traffic helper: runs the one task that its argument holds, as JSON (see `sluice_tests::traffic`).

use std::process::ExitCode;

use anyhow::{Context, Result};
use sluice_tests::traffic;

fn main() -> ExitCode {
    match try_main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-traffic: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_main() -> Result<()> {
    let task = std::env::args().nth(1).context("usage: sluice-traffic TASK (JSON)")?;
    traffic::run(serde_json::from_str(&task).context("the task")?)
}

//! `sluice run`: the agent.

use crate::app::App;
use crate::config::RunArgs;
use crate::fault::Fault;
use crate::logging;
use anyhow::Context;

/// Flags of `sluice run`.
#[derive(clap::Args, Clone, Debug)]
pub struct RunCommand {
    #[command(flatten)]
    args: RunArgs,
    /// Test aid: end as SIGKILL would at this step of the start
    #[arg(long, value_name = "STEP", hide = true)]
    fault_point: Option<String>,
}

/// Runs the agent until SIGTERM or SIGINT; everything stays pinned and goes on working.
pub fn run(command: &RunCommand, object: &[u8]) -> anyhow::Result<()> {
    let loaded = command.args.load()?;
    logging::init(loaded.config.log_format, loaded.config.verbosity);
    for note in &loaded.notes {
        if note.is_warning() { tracing::warn!("{note}") } else { tracing::info!("{note}") }
    }
    let fault = Fault::at(command.fault_point.clone());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the asynchronous runtime")?;
    runtime.block_on(async {
        let app = App::start(loaded.config, object, fault).await?;
        Ok(app.run().await?)
    })
}

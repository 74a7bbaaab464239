//! `sluice run`: the agent.

use super::cleanup::{self, CleanupArgs};
use crate::app::App;
use crate::config::RunArgs;
use crate::fault::Fault;
use crate::logging;
use anyhow::Context;

/// Runs the agent until SIGTERM or SIGINT; everything stays pinned and goes on working.
pub fn run(args: &RunArgs, object: &[u8]) -> anyhow::Result<()> {
    let loaded = args.load()?;
    if args.cleanup == Some(true) {
        return cleanup::run(&CleanupArgs { bpffs: loaded.config.bpffs });
    }
    logging::init(loaded.config.log_format, loaded.config.verbosity);
    for note in &loaded.notes {
        if note.is_warning() { tracing::warn!("{note}") } else { tracing::info!("{note}") }
    }
    // The loop has this thread; a second one watches and answers, so that health tells of a loop that hangs (S52).
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("can't start the asynchronous runtime")?;
    runtime.block_on(async {
        let app = App::start(loaded, object, Fault::from_env()).await?;
        Ok(app.run().await?)
    })
}

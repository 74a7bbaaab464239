//! The order of things: prepare a stage, build its programs, run them one after another.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::test::binaries;
use crate::test::execute::execute;
use crate::test::fuzz;
use crate::test::interrupt::Interrupt;
use crate::test::stage::Stage;
use crate::test::summary::Summary;

/// What a shell expects of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// What to run.
#[derive(Args)]
pub struct Options {
    /// The stages to run; all of them if none is given
    #[arg(value_enum)]
    stages: Vec<Stage>,
    /// Only tests whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// Runs all that was asked for; the exit code says whether it is good.
pub fn run(options: &Options) -> Result<ExitCode> {
    let interrupt = Interrupt::watch()?;
    let all = Stage::value_variants();
    let stages = if options.stages.is_empty() { all } else { &options.stages };
    let mut summary = Summary::default();
    for stage in stages.iter().copied() {
        if let Err(error) = run_stage(stage, options.only.as_deref(), &interrupt, &mut summary) {
            summary.broken(stage, &error);
        }
        if interrupt.raised() {
            interrupt.wait_for_janitors();
            summary.print();
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    summary.expect_some(stages, options.only.as_deref());
    summary.print();
    let skips_allowed = env::var_os("CI").is_none_or(|value| value != "true");
    Ok(if summary.good(skips_allowed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_stage(stage: Stage, only: Option<&str>, interrupt: &Interrupt, summary: &mut Summary) -> Result<()> {
    println!("\n== {} ==", stage.name());
    stage.prepare().with_context(|| format!("preparing stage {}", stage.name()))?;
    if stage == Stage::Fuzz {
        summary.add(stage, "proxy-agent/fuzz", fuzz::run(only, interrupt)?);
        return Ok(());
    }
    let Some(selection) = stage.selection() else {
        println!("no tests");
        return Ok(());
    };
    for binary in binaries::build(&selection)? {
        if interrupt.raised() {
            break;
        }
        println!("-- {}", binary.name);
        summary.add(stage, &binary.name, execute(&binary, stage.libtest_args(), only, interrupt)?);
    }
    Ok(())
}

//! The bench from its flags to its files.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use sluice_tests::bench::Report;

use super::{prepare, table};
use crate::controlplane;
use crate::paths;

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// Which parts; all of them by default
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of each part, in place of its own number
    #[arg(long)]
    rounds: Option<usize>,
}

/// The parts, in the order in which they are measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// What a packet costs
    Packets,
    /// What a change of the tables costs
    Tables,
    /// What an event costs from a slice to the flip, starts, memory; with a real API server and kube-proxy beside it
    Control,
    /// How many frames a second XDP turns round
    Frames,
    /// What a connection costs, with Sluice and with kube-proxy
    Connections,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Tables => "tables",
            Self::Control => "control",
            Self::Frames => "frames",
            Self::Connections => "connections",
        }
    }

    fn rounds(self) -> usize {
        match self {
            Self::Packets => 60,
            Self::Tables | Self::Control => 9,
            Self::Frames | Self::Connections => 40,
        }
    }
}

/// Measures, prints the table and writes `target/bench.json`.
pub fn run(options: &Options) -> Result<ExitCode> {
    let parts = if options.parts.is_empty() { Part::value_variants() } else { &options.parts };
    let bench = prepare::build(parts.iter().any(|part| matches!(part, Part::Connections | Part::Control)))?;
    let mut report = Report::default();
    println!("{}", table::head());
    for part in parts {
        let measured = measure(&bench, *part, options.rounds.unwrap_or(part.rounds()))?;
        measured.figures.iter().for_each(|figure| println!("{}", table::line(figure)));
        report.figures.extend(measured.figures);
    }
    let path = paths::target().join("bench.json");
    fs::write(&path, serde_json::to_string_pretty(&report)?).with_context(|| format!("writing {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn measure(bench: &Path, part: Part, rounds: usize) -> Result<Report> {
    let mut command = Command::new(bench);
    command.args([part.name(), &rounds.to_string()]).env("SLUICE_CONTROLPLANE", controlplane::folder()).stdout(Stdio::piped());
    let output = command.spawn().and_then(|child| child.wait_with_output()).context("starting the bench")?;
    if !output.status.success() {
        bail!("{} could not be measured; the reason is above", part.name());
    }
    serde_json::from_slice(&output.stdout).context("the report of the bench")
}

//! `sluice config check`: what a configuration file means, before an agent runs with it.

use super::output::{Format, Value, columns, print, terminal_width};
use crate::config::{Loaded, Note, RunArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Flags of `sluice config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ConfigCommand {
    /// Say what a file means and which of its fields have no meaning here, or why it is refused
    Check(CheckArgs),
}

/// Flags of `sluice config check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The file that `sluice run --config` would get
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to print; json is what /configz answers
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs the command.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let ConfigCommand::Check(CheckArgs { file, output }) = &args.command;
    let loaded = RunArgs { config: Some(file.clone()), ..RunArgs::default() }.load()?;
    match output {
        Format::Json => print(&loaded.effective.json())?,
        Format::Wide => print(&render(&loaded, None))?,
        Format::Table => print(&render(&loaded, terminal_width()))?,
    }
    Ok(())
}

/// As text; `width` is the terminal's.
pub fn render(loaded: &Loaded, width: Option<u16>) -> String {
    let rows = loaded.effective.rows.iter().map(|row| [row.field, &row.value, &row.by].map(Value::from).into());
    let mut parts = vec![columns(&["SETTING", "VALUE", "SET BY"], rows.collect(), width)];
    let differences: Vec<_> = loaded.notes.iter().flat_map(Note::differences).map(|text| vec![text.into()]).collect();
    if !differences.is_empty() {
        parts.push(columns(&["AS KUBE-PROXY DOES WITH THIS FILE"], differences, width));
    }
    let without: Vec<Vec<Value>> = loaded.notes.iter().filter_map(without_meaning).collect();
    if !without.is_empty() {
        parts.push(columns(&["WITHOUT MEANING HERE", "WHY"], without, width));
    }
    parts.join("\n\n")
}

fn without_meaning(note: &Note) -> Option<Vec<Value>> {
    match note {
        Note::WithoutMeaning { field, why } => Some(vec![field.as_str().into(), (*why).into()]),
        Note::Defaults { .. } => None,
    }
}

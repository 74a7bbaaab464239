//! `cargo xtask`: the only build tool. Every task sets up by itself what it needs.

mod bench;
mod build;
mod controlplane;
mod demo;
mod machine;
mod paths;
mod process;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, shows and tests Sluice")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the tools that all other tasks need
    Setup,
    /// Build target/release/sluice with its eBPF programs inside
    Build {
        /// Only the eBPF object, target/ebpf/sluice.o
        #[arg(long)]
        ebpf_only: bool,
    },
    /// Show a cluster of network namespaces whose Services answer, whatever happens to it
    Demo(demo::Options),
    /// Run every test, or the stages named
    Test(test::Options),
    /// Measure what packets, tables and connections cost
    Bench(bench::Options),
    /// Check form, lints, dependencies and the limits of the house
    Tidy,
}

fn main() -> ExitCode {
    run(Args::parse().task).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::everything()?,
        Task::Build { ebpf_only: true } => drop(build::ebpf()?),
        Task::Build { ebpf_only: false } => drop(build::sluice()?),
        Task::Tidy => tidy::run()?,
        Task::Demo(options) => return demo::run(&options),
        Task::Test(options) => return test::run(&options),
        Task::Bench(options) => return bench::run(&options),
    }
    Ok(ExitCode::SUCCESS)
}

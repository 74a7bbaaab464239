//! `cargo xtask`: the only build tool. Every task sets up by itself what it needs.

mod build;
mod paths;
mod process;
mod setup;

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
}

fn main() -> anyhow::Result<()> {
    match Args::parse().task {
        Task::Setup => setup::everything(),
        Task::Build { ebpf_only: true } => build::ebpf().map(drop),
        Task::Build { ebpf_only: false } => build::sluice().map(drop),
    }
}

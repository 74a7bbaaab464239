//! The `sluice` program: the agent and the commands that look at it, with the eBPF object inside.

use proxy_agent::cli;
use std::process::ExitCode;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SLUICE_EBPF_OBJECT"));

fn main() -> ExitCode {
    match cli::Cli::run_from_args(OBJECT) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice: {}", cli::message(&error));
            ExitCode::from(cli::exit_code(&error))
        }
    }
}

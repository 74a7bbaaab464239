//! The `sluice` program: the agent and the commands that look at it, with the eBPF object inside.

use proxy_agent::cli;
use std::process::ExitCode;

/// Headers of an ELF file are read in place, so it must start where they may.
#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(env!("SLUICE_EBPF_OBJECT")));

fn main() -> ExitCode {
    match cli::Cli::run_from_args(&OBJECT.0) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice: {}", cli::message(&error));
            ExitCode::from(cli::exit_code(&error))
        }
    }
}

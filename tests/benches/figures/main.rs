//! The bench: measures one part and prints its figures as JSON. `cargo xtask bench` runs it and writes the table.
//!
//! Invariant: what is compared is measured in turns within each round, on one CPU; nothing is asserted against a clock.

mod clock;
mod connections;
mod control;
mod feeder;
mod frame;
mod frames;
mod load;
mod node;
mod objects;
mod packets;
mod plane;
mod tables;
mod world;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use sluice_tests::bench::Report;

fn main() -> ExitCode {
    match try_main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let part = args.next().context("usage: figures PART ROUNDS; use `cargo xtask bench`")?;
    match part.as_str() {
        "serve" => return load::run_server(&args.map(|port| port.parse()).collect::<Result<Vec<u16>, _>>()?),
        "client" => return load::run_client(&args.next().context("no task")?),
        _ => {}
    }
    let rounds = args.next().context("no number of rounds")?.parse()?;
    let figures = match part.as_str() {
        "packets" => packets::measure(rounds, args.next().as_deref())?,
        "frames" => frames::measure(rounds)?,
        "connections" => connections::measure(rounds)?,
        "tables" => tables::measure(rounds)?,
        "control" => control::measure(rounds, args.next().as_deref())?,
        other => bail!("no part is called {other}"),
    };
    println!("{}", serde_json::to_string(&Report { figures })?);
    Ok(())
}

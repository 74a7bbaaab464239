//! Runs one test program and reads its output as it comes.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::controlplane;
use crate::paths;
use crate::test::binaries::Binary;
use crate::test::interrupt::Interrupt;
use crate::test::libtest::{Outcome, Parser};

/// Runs the program's tests, those whose name contains `only` if given, to the end.
pub fn execute(binary: &Binary, args: &[&str], only: Option<&str>, interrupt: &Interrupt) -> Result<Outcome> {
    let mut child = Command::new(&binary.path)
        .args(args)
        .args(only)
        .current_dir(&binary.folder)
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .env("SLUICE_BIN", paths::sluice())
        .env("SLUICE_CONTROLPLANE", controlplane::folder())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.path.display()))?;
    interrupt.set_child(Some(child.id()));
    let output = child.stdout.take().context("standard output of the tests")?;
    let mut parser = Parser::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        if parser.line(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    interrupt.set_child(None);
    Ok(parser.finish(status.success()))
}

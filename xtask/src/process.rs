//! Runs other programs. A failure names the whole command, so that it can be repeated by hand.

use std::env;
use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

/// What a cargo leaks into a cargo that it runs and that builds something else.
const LEAKS: [&str; 8] = [
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
];

/// What `cargo run` tells xtask about itself. Build scripts that look at it (ring's does) would run again, and all that
/// depends on them be compiled anew, each time the same crate is built with and without xtask.
const ABOUT_XTASK: [&str; 5] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// The host's cargo, run in the repository. It keeps the tool chain that the caller chose.
pub fn host_cargo() -> Command {
    let mut command = Command::new(paths::cargo());
    command.current_dir(paths::root()).env_remove("CARGO_TARGET_DIR");
    for (name, _) in env::vars_os() {
        if ABOUT_XTASK.iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())) {
            command.env_remove(name);
        }
    }
    command
}

/// Another tool chain's cargo, free of everything that the host's cargo set.
pub fn foreign_cargo(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    LEAKS.iter().for_each(|variable| _ = command.env_remove(variable));
    command.env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// The host's cargo installing a program into cargo's home, with no flag of this repository.
pub fn cargo_install() -> Command {
    let mut command = Command::new(paths::cargo());
    LEAKS.iter().for_each(|variable| _ = command.env_remove(variable));
    command.current_dir("/").args(["install", "--locked", "--root"]).arg(paths::cargo_home());
    command
}

/// Runs a command to its end, its output shown as it comes.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{status}: {}", line(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed on standard output.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        bail!("{}: {}", output.status, line(command));
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", line(command)))
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

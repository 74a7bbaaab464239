//! One server process in a namespace, with its output in a file.
//!
//! Invariant: the process ends with its handle.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::netns::Netns;
use crate::wait;

/// A first start on two busy cores; it is 3 s on idle ones.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program in the namespace; its output is added to `<name>.log` in `folder`.
    pub fn start(netns: &Netns, folder: &Path, name: &str, program: &Path, arguments: &[String]) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).env("HOME", folder);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = netns.enter(|| command.spawn())?.with_context(|| format!("start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until `check` gives a value; fails at once when the server ends.
    pub fn until<T>(&mut self, mut check: impl FnMut() -> Option<T>) -> Result<T> {
        let name = self.name.clone();
        wait::until(PATIENCE, &name, || match self.check() {
            Ok(()) => check().map(Ok),
            Err(error) => Some(Err(error)),
        })?
    }

    /// Fails, with the end of its log, if it has ended.
    pub fn check(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        bail!("{} ended with {status}:\n{}", self.name, lines[lines.len().saturating_sub(20)..].join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Arguments `--name=value`.
pub fn flags(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

//! The test's end of a running helper: start it in its place, read its lines, stop it, take its report.
//!
//! Invariant: a handle that is dropped has ended its process.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use super::report::{HeldReport, Line, LoadReport};

/// How long a helper may take to be ready, and to report after it was told to stop.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running task.
#[derive(Debug)]
pub struct Traffic {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Line>,
    latest: LoadReport,
    held: HeldReport,
    what: String,
}

impl Traffic {
    /// Takes over a helper that was started with pipes at its standard input and output.
    pub(crate) fn attach(mut child: Child, what: String) -> Result<Self> {
        let output = child.stdout.take().context("the helper has no output pipe")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for text in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(line) = serde_json::from_str(&text) else { continue };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { input: child.stdin.take(), child, lines, latest: LoadReport::default(), held: HeldReport::default(), what })
    }

    /// Waits until the task is under way.
    pub fn ready(self) -> Result<Self> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(Line::Ready) => Ok(self),
            Ok(line) => bail!("{}: {line:?} before it was ready", self.what),
            Err(_) => bail!("{} ended before it was ready: its error is above", self.what),
        }
    }

    /// How a load stands, by its last tick.
    pub fn progress(&mut self) -> &LoadReport {
        self.take_lines();
        &self.latest
    }

    /// How held connections stand, likewise.
    pub fn held(&mut self) -> &HeldReport {
        self.take_lines();
        &self.held
    }

    fn take_lines(&mut self) {
        while let Ok(line) = self.lines.try_recv() {
            match line {
                Line::Tick(report) => self.latest = report,
                Line::Held(report) => self.held = report,
                Line::Ready | Line::Report(_) => {}
            }
        }
    }

    /// Tells the task to stop and returns its report.
    pub fn finish<R: DeserializeOwned>(mut self) -> Result<R> {
        self.input = None;
        self.report(PATIENCE)
    }

    /// Waits up to `limit` for a task that ends by itself and returns its report.
    pub fn report<R: DeserializeOwned>(&mut self, limit: Duration) -> Result<R> {
        let deadline = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Line::Report(value)) => return Ok(serde_json::from_value(value)?),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("{}: no report within {limit:?}", self.what),
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended without a report: its error is above", self.what),
            }
        }
    }

    /// Lets the process go on when the handle is gone, until the rig is reaped.
    pub fn leave(mut self) {
        // A pipe without a writer would tell the task to stop.
        std::mem::forget(self.input.take());
        std::mem::forget(self);
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo left the helper program: beside the running program, or beside its `deps` folder.
pub fn helper() -> Result<PathBuf> {
    let program = env::current_exe().context("the path of the running program")?;
    let found = program.ancestors().skip(1).take(2).map(|folder| folder.join("sluice-traffic")).find(|path| path.exists());
    found.with_context(|| format!("no sluice-traffic near {}: cargo build --release -p sluice-tests", program.display()))
}

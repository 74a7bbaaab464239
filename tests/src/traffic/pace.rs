//! The two things that steer a client: its pace, and the word to stop.
//!
//! Invariant: a client stops within one request of the end of its standard input, whoever closed it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::report::Line;

/// True once standard input has ended.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Watches standard input from a thread of its own.
    pub fn on_end_of_input() -> Self {
        let stop = Self::default();
        let flag = stop.clone();
        thread::spawn(move || {
            // Any end will do, an error too.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            flag.0.store(true, Ordering::Relaxed);
        });
        stop
    }

    /// Whether to stop.
    pub fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps until `deadline`, or until told to stop.
    pub fn sleep_until(&self, deadline: Instant) {
        while !self.now() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}

/// Prints a line of the protocol.
pub fn print(line: &Line) -> Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    Ok(out.flush()?)
}

/// Prints the result.
pub fn print_report(report: &impl Serialize) -> Result<()> {
    print(&Line::Report(serde_json::to_value(report)?))
}

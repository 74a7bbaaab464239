//! Connections that are opened once and carry data until told to stop.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::dial::Connection;
use super::pace::{Stop, print, print_report};
use super::report::{HeldReport, Line};
use super::task::{Held, Target};
use crate::net::Proto;
use crate::wait::monotonic_ns;

/// How often it says how the connections stand.
const TICK: Duration = Duration::from_millis(200);

/// Opens all, asks once by each, says so, and exchanges until told to stop. A broken one stays broken.
pub fn run(task: &Held) -> Result<()> {
    let stop = Stop::on_end_of_input();
    let report = Mutex::new(HeldReport::default());
    let mut open = Vec::new();
    for target in &task.targets {
        for _ in 0..task.count {
            match Connection::open(target.proto, target.to, task.bind, Duration::from_millis(task.timeout_ms)) {
                Ok(connection) => open.push(Exchanges { target, connection, last: None }),
                Err(failure) => lock(&report).broken.push(failure),
            }
        }
    }
    lock(&report).opened = open.len() as u64;
    // A UDP socket has no flow before its first datagram: what happens after "ready" must find one.
    open.retain_mut(|exchanges| exchanges.one(&report));
    print(&Line::Ready)?;
    thread::scope(|scope| {
        for mut exchanges in open {
            let (stop, report) = (stop.clone(), &report);
            scope.spawn(move || {
                loop {
                    stop.sleep_until(Instant::now() + Duration::from_millis(task.interval_ms));
                    if stop.now() || !exchanges.one(report) {
                        return;
                    }
                }
            });
        }
        while !stop.now() {
            stop.sleep_until(Instant::now() + TICK);
            let line = Line::Held(lock(&report).clone());
            print(&line)?;
        }
        anyhow::Ok(())
    })?;
    let report = lock(&report);
    print_report(&*report)
}

/// An open connection and who answered last.
struct Exchanges<'a> {
    target: &'a Target,
    connection: Connection,
    last: Option<String>,
}

impl Exchanges<'_> {
    /// One more; false if that broke the connection.
    fn one(&mut self, report: &Mutex<HeldReport>) -> bool {
        let start = monotonic_ns();
        let result = self.connection.ask();
        let mut report = lock(report);
        match result {
            Ok(answer) => {
                report.exchanges += 1;
                report.moved += u64::from(self.last.as_ref().is_some_and(|last| *last != answer.by));
                let answerer = report.answerers.entry(answer.by.clone()).or_default();
                answerer.count += 1;
                answerer.last_start_ns = answerer.last_start_ns.max(start);
                self.last = Some(answer.by);
            }
            Err(_) if self.target.proto == Proto::Udp => report.unanswered += 1,
            Err(failure) => {
                report.broken.push(failure);
                return false;
            }
        }
        true
    }
}

fn lock(report: &Mutex<HeldReport>) -> MutexGuard<'_, HeldReport> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

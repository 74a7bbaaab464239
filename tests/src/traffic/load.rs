//! A steady rate of new connections to each of several targets, by several workers a target.
//!
//! Invariant: the schedule does not depend on the answers: a slow answer delays one worker, never the rate.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::dial::{Connection, Failure};
use super::pace::{Stop, print, print_report};
use super::report::{Line, LoadReport, TargetReport};
use super::stats::Stats;
use super::task::{Load, Target};
use crate::wait::monotonic_ns;

/// How often a load says how it stands.
const TICK: Duration = Duration::from_millis(200);

/// Runs until told to stop, or until every target has had its limit of requests.
pub fn run(task: &Load) -> Result<()> {
    let stop = Stop::on_end_of_input();
    let stats: BTreeMap<&str, Mutex<Stats>> =
        task.targets.iter().map(|target| (target.label.as_str(), Mutex::default())).collect();
    print(&Line::Ready)?;
    thread::scope(|scope| -> Result<()> {
        for target in &task.targets {
            let stats = &stats[target.label.as_str()];
            for worker in 0..task.workers {
                let stop = stop.clone();
                scope.spawn(move || work(task, target, worker, stats, &stop));
            }
        }
        while !stop.now() && !done(task, &stats) {
            stop.sleep_until(Instant::now() + TICK);
            print(&Line::Tick(report(&stats, Stats::tick)))?;
        }
        Ok(())
    })?;
    print_report(&report(&stats, |stats, label| stats.total(label)))
}

fn work(task: &Load, target: &Target, worker: u32, stats: &Mutex<Stats>, stop: &Stop) {
    let pause = match task.rate {
        0 => Duration::ZERO,
        rate => Duration::from_secs(1) * task.workers / rate,
    };
    let mut due = Instant::now() + pause * worker / task.workers;
    let share = task.limit.div_ceil(u64::from(task.workers));
    let mut requests = 0;
    while !stop.now() && (task.limit == 0 || requests < share) {
        if task.rate > 0 {
            stop.sleep_until(due);
        }
        request(task, target, stats);
        requests += 1;
        // After a stall the worker goes on at its rate; making up for it would be a burst that nobody asked for.
        due = (due + pause).max(Instant::now() - pause);
    }
}

fn request(task: &Load, target: &Target, stats: &Mutex<Stats>) {
    let timeout = Duration::from_millis(task.timeout_ms);
    let start = monotonic_ns();
    let result =
        Connection::open(target.proto, target.to, None, timeout).and_then(|connection| connection.ask_and_close(task.close));
    let micros = (monotonic_ns() - start) / 1000;
    // A step that failed knows of itself alone.
    let result = result.map_err(|failure| Failure { start_ns: start, micros, ..failure });
    lock(stats).count(result, start, micros.try_into().unwrap_or(u32::MAX));
}

fn done(task: &Load, stats: &BTreeMap<&str, Mutex<Stats>>) -> bool {
    task.limit > 0 && stats.values().all(|stats| lock(stats).requests() >= task.limit)
}

fn report(stats: &BTreeMap<&str, Mutex<Stats>>, take: impl Fn(&mut Stats, &str) -> TargetReport) -> LoadReport {
    LoadReport { targets: stats.iter().map(|(label, stats)| take(&mut lock(stats), label)).collect() }
}

fn lock(stats: &Mutex<Stats>) -> MutexGuard<'_, Stats> {
    stats.lock().unwrap_or_else(PoisonError::into_inner)
}

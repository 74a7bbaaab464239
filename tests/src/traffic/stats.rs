//! What the workers of a load add up for one target.
//!
//! Invariant: every request is counted exactly once, as an answer or as a failure.

use std::collections::BTreeMap;

use super::dial::{Answer, Failure};
use super::report::{Answerer, TargetReport};
use crate::wait::monotonic_ns;

/// Failures kept word for word; the rest are only counted.
const KEPT: usize = 100;

/// The sums of one target.
#[derive(Debug, Default)]
pub struct Stats {
    requests: u64,
    failed: u64,
    failures: Vec<Failure>,
    answerers: BTreeMap<String, Answerer>,
    latencies: Vec<u32>,
    ticked: usize,
}

impl Stats {
    /// Counts one request that began at `start_ns` and took `micros`.
    pub fn count(&mut self, result: Result<Answer, Failure>, start_ns: u64, micros: u32) {
        self.requests += 1;
        match result {
            Ok(answer) => {
                self.latencies.push(micros);
                let answerer = self.answerers.entry(answer.by).or_default();
                answerer.count += 1;
                answerer.last_start_ns = answerer.last_start_ns.max(start_ns);
            }
            Err(failure) => {
                self.failed += 1;
                if self.failures.len() < KEPT {
                    self.failures.push(failure);
                }
            }
        }
    }

    /// How many requests were counted.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The sums so far, with the latencies since the last tick.
    pub fn tick(&mut self, label: &str) -> TargetReport {
        let report = self.report(label, self.ticked);
        self.ticked = self.latencies.len();
        report
    }

    /// The sums, with all latencies.
    pub fn total(&self, label: &str) -> TargetReport {
        self.report(label, 0)
    }

    fn report(&self, label: &str, from: usize) -> TargetReport {
        let mut window = self.latencies[from..].to_vec();
        window.sort_unstable();
        TargetReport {
            label: label.to_owned(),
            at_ns: monotonic_ns(),
            requests: self.requests,
            failed: self.failed,
            failures: self.failures.clone(),
            answerers: self.answerers.clone(),
            p50_us: percentile(&window, 50),
            p99_us: percentile(&window, 99),
            max_us: percentile(&window, 100),
        }
    }
}

/// The value below which `percent` of the sorted samples lie; 0 without samples.
fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_nearest_rank() {
        let sorted: Vec<u32> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|percent| percentile(&sorted, percent)), [100, 198, 200]);
        assert_eq!(percentile(&[], 50), 0);
        assert_eq!(percentile(&[7], 1), 7);
    }
}

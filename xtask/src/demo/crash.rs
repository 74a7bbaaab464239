//! Which requests a pod took with it when it was killed.
//!
//! Invariant: no request is among them that began once the slices without the pod were in force on every node.

use sluice_tests::traffic::{Failure, LoadReport, TargetReport};

/// How a connection to a process ends that was killed, and how its host refuses the next one. Nothing else is put down to the pod.
const ENDS: [&str; 4] = ["ECONNREFUSED", "ECONNRESET", "EPIPE", "unexpected end of file"];

/// A pod's end, by CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// Just before it was killed.
    pub killed: u64,
    /// When every node was seen to serve the Service without it.
    pub in_force: u64,
}

impl Crash {
    /// Requests to a target that the pod took with it.
    pub fn lost_of(&self, target: &TargetReport) -> u64 {
        target.failures.iter().filter(|failure| self.took(failure)).count() as u64
    }

    /// Requests to all targets that the pod took with it.
    pub fn lost(&self, report: &LoadReport) -> u64 {
        report.targets.iter().map(|target| self.lost_of(target)).sum()
    }

    /// Whether a request was under way to the pod when it was killed, or began before anybody could know.
    pub fn took(&self, failure: &Failure) -> bool {
        let end = failure.start_ns + failure.micros * 1000;
        failure.start_ns < self.in_force && end >= self.killed && ENDS.contains(&failure.reason.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: &str, start_ns: u64, micros: u64) -> Failure {
        Failure { step: "connect".to_owned(), reason: reason.to_owned(), start_ns, micros }
    }

    #[test]
    fn only_what_ended_with_the_pod_is_its_own() {
        let crash = Crash { killed: 10_000, in_force: 20_000 };
        assert!(crash.took(&failure("ECONNRESET", 9_000, 2)));
        assert!(crash.took(&failure("ECONNREFUSED", 19_999, 1)));
        assert!(!crash.took(&failure("ECONNREFUSED", 20_000, 1)), "it began once the slices were in force");
        assert!(!crash.took(&failure("ECONNRESET", 7_000, 2)), "it had ended before");
        assert!(!crash.took(&failure("timeout", 15_000, 5_000_000)), "a killed process refuses at once");
    }

    #[test]
    fn what_is_not_kept_word_for_word_is_not_forgiven() {
        let target = TargetReport { failed: 3, failures: vec![failure("ECONNRESET", 2, 1)], ..TargetReport::default() };
        let crash = Crash { killed: 1, in_force: 3 };
        assert_eq!((crash.lost_of(&target), crash.lost(&LoadReport { targets: vec![target] })), (1, 1));
    }
}

//! What the traffic helper prints, one JSON object a line.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::dial::{Answer, Failure};

/// A line of the helper's output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The task is under way: a server listens, held connections are open.
    Ready,
    /// How a load stands.
    Tick(LoadReport),
    /// How held connections stand.
    Held(HeldReport),
    /// The result, last of all.
    Report(serde_json::Value),
}

/// A load by targets.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// One for each label, sorted by it.
    pub targets: Vec<TargetReport>,
}

impl LoadReport {
    /// Requests to all targets, failed ones included.
    pub fn requests(&self) -> u64 {
        self.targets.iter().map(|target| target.requests).sum()
    }

    /// Failed requests to all targets.
    pub fn failed(&self) -> u64 {
        self.targets.iter().map(|target| target.failed).sum()
    }

    /// What failed, in words, for the message of an assertion.
    pub fn failures(&self) -> String {
        let lines =
            self.targets.iter().flat_map(|target| target.failures.iter().map(move |f| format!("{}: {f}", target.label)));
        lines.take(20).collect::<Vec<_>>().join("\n")
    }

    /// When the last request began that `name` answered (CLOCK_MONOTONIC, ns).
    pub fn last_start(&self, name: &str) -> Option<u64> {
        self.targets.iter().filter_map(|target| target.answerers.get(name)).map(|answerer| answerer.last_start_ns).max()
    }
}

/// What became of the requests to one target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TargetReport {
    /// The target's label.
    pub label: String,
    /// When it was written (CLOCK_MONOTONIC, ns).
    pub at_ns: u64,
    /// Requests, failed ones included.
    pub requests: u64,
    /// Failed requests.
    pub failed: u64,
    /// The first hundred failures.
    pub failures: Vec<Failure>,
    /// Who answered.
    pub answerers: BTreeMap<String, Answerer>,
    /// Median of a whole request, in microseconds; since the tick before in a tick.
    pub p50_us: u32,
    /// 99th percentile, likewise.
    pub p99_us: u32,
    /// The slowest.
    pub max_us: u32,
}

impl TargetReport {
    /// Answered requests a second since an earlier report on the same target.
    pub fn rate_since(&self, earlier: &Self) -> f64 {
        let answered = |report: &Self| report.requests - report.failed;
        let seconds = self.at_ns.saturating_sub(earlier.at_ns) as f64 / 1e9;
        answered(self).saturating_sub(answered(earlier)) as f64 / seconds.max(0.001)
    }
}

/// One server, as a load's clients saw it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Answerer {
    /// How often it answered.
    pub count: u64,
    /// When the last request began that it answered (CLOCK_MONOTONIC, ns).
    pub last_start_ns: u64,
}

/// Held connections at their end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct HeldReport {
    /// Connections that were opened.
    pub opened: u64,
    /// Exchanges that were answered.
    pub exchanges: u64,
    /// Datagrams without an answer (UDP), which break nothing.
    pub unanswered: u64,
    /// Answers that came from another server than the one before.
    pub moved: u64,
    /// Connections that could not be opened, or broke.
    pub broken: Vec<Failure>,
    /// Who answered.
    pub answerers: BTreeMap<String, Answerer>,
}

/// One probe's connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The answer or the failure.
    pub result: Result<Answer, Failure>,
    /// `getsockname` of the client.
    pub local: Option<SocketAddr>,
    /// `getpeername` of the client.
    pub remote: Option<SocketAddr>,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// When it began (CLOCK_MONOTONIC, ns).
    pub start_ns: u64,
}

/// A page, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageReport {
    /// The status code.
    pub status: u16,
    /// The body without its last line end.
    pub body: String,
    /// What went wrong on the way.
    pub failure: Option<String>,
}

/// A stream's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamReport {
    /// Bytes that came back as they were sent.
    pub equal: u64,
    /// What went wrong, with the first byte that differed.
    pub failure: Option<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// What one unconnected socket saw, by target.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UnconnectedReport {
    /// Answers whose source was the address dialled.
    pub answered: BTreeMap<SocketAddr, u64>,
    /// Datagrams without an answer.
    pub lost: BTreeMap<SocketAddr, u64>,
    /// Answers whose source was some other address: (dialled, seen).
    pub strangers: Vec<(SocketAddr, SocketAddr)>,
    /// Errors of `sendto` and `recvfrom`.
    pub errors: Vec<String>,
    /// Who answered which target how often.
    pub answerers: BTreeMap<SocketAddr, BTreeMap<String, u64>>,
}

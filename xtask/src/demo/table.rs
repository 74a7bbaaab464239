//! The tables at the end of the story.

use std::collections::BTreeMap;

use sluice_tests::traffic::{LoadReport, TargetReport};

use super::crash::Crash;
use super::loads::{Totals, answers};

/// Requests and failures by target, those apart that a pod took with it when it was killed, and the rates of the rolling update;
/// answers by pod; latencies beside each other.
pub fn lines(totals: &Totals, crash: Option<Crash>, rates: &BTreeMap<String, f64>, calm: &LoadReport) -> Vec<String> {
    let loads = &totals.loads;
    let lost = |target: &TargetReport| crash.map_or(0, |crash| crash.lost_of(target));
    let all = crash.map_or(0, |crash| crash.lost(loads));
    let mut lines = vec![
        format!("  {:<26} {:>8} {:>6} {:>8}  {:>6}", "", "", "", "lost with", "in the"),
        format!(
            "  {:<26} {:>8} {:>6} {:>8}  {:>6} {:>8} {:>8}",
            "under load", "requests", "failed", "the pod", "update", "p50", "p99"
        ),
    ];
    lines.extend(loads.targets.iter().map(|target| {
        let TargetReport { label, requests, p50_us, p99_us, .. } = target;
        let (lost, rate) = (lost(target), rates.get(label).copied().unwrap_or_default());
        let failed = target.failed - lost;
        format!("  {label:<26} {requests:>8} {failed:>6} {lost:>8} {rate:>5.0}/s {p50_us:>5} µs {p99_us:>5} µs")
    }));
    lines.push(format!("  {:<26} {:>8} {:>6} {all:>8}", "in all", loads.requests(), loads.failed() - all));
    let held = &totals.held;
    lines.push(format!("  {:<26} {:>8} {:>6}", format!("{} held connections", held.opened), held.exchanges, held.broken.len()));
    lines.push(String::new());
    lines.push(format!("  {:<34} {:>9}", "answered by", "requests"));
    lines.extend(answers(&totals.loads).into_iter().map(|(pod, count)| format!("  {pod:<34} {count:>9}")));
    lines.push(String::new());
    lines.push(format!("  {:<34} {:>9} {:>7} {:>9} {:>9}", "calm, connect to close", "requests", "failed", "p50", "p99"));
    lines.extend(calm.targets.iter().map(target));
    lines.push(String::new());
    lines
}

fn target(report: &TargetReport) -> String {
    let TargetReport { label, requests, failed, p50_us, p99_us, .. } = report;
    format!("  {label:<34} {requests:>9} {failed:>7} {p50_us:>6} µs {p99_us:>6} µs")
}

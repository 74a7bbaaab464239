//! The tables at the end of the story.

use sluice_tests::traffic::{LoadReport, TargetReport};

use super::loads::{Totals, answers};

/// Requests and failures by target, answers by pod, latencies beside each other.
pub fn lines(totals: &Totals, calm: &LoadReport) -> Vec<String> {
    let mut lines = vec![format!("  {:<34} {:>9} {:>7} {:>9} {:>9}", "under load", "requests", "failed", "p50", "p99")];
    lines.extend(totals.loads.targets.iter().map(target));
    lines.push(format!("  {:<34} {:>9} {:>7}", "in all", totals.loads.requests(), totals.loads.failed()));
    let held = &totals.held;
    lines.push(format!("  {:<34} {:>9} {:>7}", format!("{} held connections", held.opened), held.exchanges, held.broken.len()));
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

//! The titles of the chapters.
//!
//! Invariant: with the time behind it a title fits a terminal of 80 columns.

pub const START: &str = "Two nodes with pods, a client outside: sluice starts on both nodes";
pub const HELLO: &str = "hello-k8s: two pods behind NodePort 30007";
pub const VOTE: &str = "A voting app over both nodes: vote on 30035, result on 31061";
pub const CALM: &str = "Three calm seconds: through Services, and the pods dialled directly";
pub const LOADS: &str = "From here on 1,320 connections a second: outside, in a pod, on a node";
pub const UNREADY: &str = "hello-1 turns unready: it gets no more requests";
pub const CRASHED: &str = "hello-2 is killed, and hello-3 takes its place";
pub const UPDATE: &str = "A rolling update replaces both pods";
pub const KILLED: &str = "SIGKILL for both agents; the kernel goes on by itself; they come back";
pub const TOTALS: &str = "What became of all requests";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_fit_eighty_columns() {
        let seconds = " (99.9 s)".len();
        for title in [START, HELLO, VOTE, CALM, LOADS, UNREADY, CRASHED, UPDATE, KILLED, TOTALS] {
            assert!(title.chars().count() + seconds <= 80, "{title}");
        }
    }
}

//! Reads what a test program of Rust's `libtest` prints with `--show-output`. Pure.
//!
//! Invariant: a test that was announced counts exactly once, also when the program dies in it or a
//! child of the test writes into the middle of its line.

use std::collections::BTreeSet;

const SLOW: &str = " has been running for over ";
const TOO_LONG: &str = "(ended by the runner: it took too long)";

/// What one program's tests came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many passed, skipped ones not among them.
    pub passed: usize,
    /// Names of the failed ones.
    pub failed: Vec<String>,
    /// Names of the skipped ones, each with its reason.
    pub skipped: Vec<(String, String)>,
    /// Names with what they had to report.
    pub reports: Vec<(String, String)>,
    /// What the failed ones printed.
    pub details: Vec<String>,
}

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself; it called that a success.
    Good,
    /// By itself or by a signal.
    Bad,
    /// By the runner, which lost its patience.
    TooLong,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Progress,
    Successes,
    Failures,
}

/// Takes the program's output line by line.
pub struct Parser {
    section: Section,
    running: Option<String>,
    /// Tests of which libtest says that they take long; it says so only where several run at once.
    slow: BTreeSet<String>,
    speaker: String,
    passed: BTreeSet<String>,
    outcome: Outcome,
    complete: bool,
}

impl Parser {
    /// A parser for a program that has printed nothing yet.
    pub fn new() -> Self {
        Self {
            section: Section::Progress,
            running: None,
            slow: BTreeSet::new(),
            speaker: String::new(),
            passed: BTreeSet::new(),
            outcome: Outcome::default(),
            complete: false,
        }
    }

    /// Takes one line; returns whether it tells of progress and is worth showing at once.
    pub fn line(&mut self, line: &str) -> bool {
        if line.starts_with("test result: ") {
            self.complete = true;
        } else if line == "successes:" {
            self.section = Section::Successes;
        } else if line == "failures:" {
            self.section = Section::Failures;
        } else if self.section == Section::Progress {
            return self.progress(line);
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            name.clone_into(&mut self.speaker);
        } else {
            self.said(line);
            return false;
        }
        false
    }

    /// What it came to.
    pub fn finish(mut self, ending: Ending) -> Outcome {
        let failed = &mut self.outcome.failed;
        if ending == Ending::TooLong {
            let hung: Vec<String> = self.running.take().into_iter().chain(self.slow).collect();
            failed.extend(hung.iter().map(|name| format!("{name} {TOO_LONG}")));
            if hung.is_empty() {
                failed.push(TOO_LONG.to_owned());
            }
        } else if let Some(name) = self.running.take() {
            failed.push(format!("{name} (the program ended in it)"));
        } else if !self.complete || (ending == Ending::Bad && failed.is_empty()) {
            failed.push("(the program ended early)".to_owned());
        }
        self.outcome.passed = self.passed.len();
        self.outcome
    }

    fn progress(&mut self, line: &str) -> bool {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.split_once(SLOW)).map(|(name, _)| name) {
            self.slow.insert(name.to_owned());
            return false;
        }
        if let Some((name, result)) = announced(line) {
            self.running = Some(name.to_owned());
            self.result(result);
            return true;
        }
        self.running.is_some() && self.result(line)
    }

    /// Ends the running test if the text ends with a verdict.
    fn result(&mut self, text: &str) -> bool {
        let Some(name) = self.running.take() else { return false };
        self.slow.remove(&name);
        if text.ends_with("ok") {
            self.passed.insert(name);
        } else if text.ends_with("FAILED") {
            self.outcome.failed.push(name);
        } else if let Some((_, why)) = text.split_once("ignored") {
            let why = why.trim_start_matches([',', ' ']);
            self.skip(name, if why.is_empty() { "ignored" } else { why });
        } else {
            self.running = Some(name);
            return false;
        }
        true
    }

    fn said(&mut self, line: &str) {
        if self.section == Section::Failures {
            self.outcome.details.push(line.to_owned());
        } else if let Some(why) = line.strip_prefix("SKIP: ") {
            let name = self.speaker.clone();
            if self.passed.remove(&name) {
                self.skip(name, why);
            }
        } else if let Some(report) = line.strip_prefix("REPORT: ") {
            self.outcome.reports.push((self.speaker.clone(), report.to_owned()));
        }
    }

    fn skip(&mut self, name: String, why: &str) {
        self.outcome.skipped.push((name, why.to_owned()));
    }
}

/// Name and rest of `test NAME ... rest`.
fn announced(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.strip_prefix("test ")?.split_once(" ... ")?;
    Some((name.trim_end_matches(" - should panic"), rest))
}

#[cfg(test)]
#[path = "libtest_tests.rs"]
mod tests;

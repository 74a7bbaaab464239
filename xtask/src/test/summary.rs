//! Adds up what the programs came to and tells it, the numbers in the last line.

use crate::test::libtest::Outcome;
use crate::test::stage::Stage;

/// All stages together.
#[derive(Debug, Default)]
pub struct Summary {
    passed: usize,
    failed: Vec<(Stage, String)>,
    skipped: Vec<(String, String)>,
}

impl Summary {
    /// Adds one program's outcome, after showing what its failed tests printed.
    pub fn add(&mut self, stage: Stage, program: &str, outcome: Outcome) {
        for (name, report) in &outcome.reports {
            println!("{name}: {report}");
        }
        for line in &outcome.details {
            println!("{line}");
        }
        self.passed += outcome.passed;
        self.failed.extend(outcome.failed.into_iter().map(|name| (stage, format!("{program} {name}"))));
        self.skipped.extend(outcome.skipped.into_iter().map(|(name, why)| (format!("{program} {name}"), why)));
    }

    /// Adds a stage that could not run, as one failure.
    pub fn broken(&mut self, stage: Stage, error: &anyhow::Error) {
        println!("{}: {error:#}", stage.name());
        self.failed.push((stage, format!("the stage itself: {error:#}")));
    }

    /// Prints skips, failures and how to repeat them, and last the one line of numbers.
    pub fn print(&self) {
        println!();
        for (name, why) in &self.skipped {
            println!("skipped: {name}: {why}");
        }
        for (stage, name) in &self.failed {
            println!("FAILED: {} {name}", stage.name());
        }
        if let Some((stage, name)) = self.failed.first() {
            let test = name.split(' ').nth(1).unwrap_or_default();
            println!("repeat one with: cargo xtask test {} --only {test}", stage.name());
        }
        println!("{}", self.line());
    }

    /// Failures always count; skips only where nothing may be skipped.
    pub fn good(&self, skips_allowed: bool) -> bool {
        self.failed.is_empty() && (skips_allowed || self.skipped.is_empty())
    }

    fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_verdict() {
        let mut summary = Summary::default();
        let skipped = vec![("b".to_owned(), "why".to_owned())];
        summary.add(Stage::Unit, "p", Outcome { passed: 2, skipped, ..Outcome::default() });
        assert_eq!(summary.line(), "2 passed, 0 failed, 1 skipped");
        assert!(summary.good(true));
        assert!(!summary.good(false));
        summary.broken(Stage::Kernel, &anyhow::anyhow!("not root"));
        assert_eq!(summary.line(), "2 passed, 1 failed, 1 skipped");
        assert!(!summary.good(true));
    }
}

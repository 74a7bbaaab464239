//! Adds up what the programs came to and tells it, the numbers in the last line.

use crate::test::libtest::Outcome;
use crate::test::stage::Stage;

/// All stages together.
#[derive(Debug, Default)]
pub struct Summary {
    passed: usize,
    failed: Vec<(Stage, String)>,
    /// Why nothing ran, if nothing did.
    idle: Option<String>,
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

    /// Counts a failure if no test ran: nobody asks for none, so `only` is misspelt or of another stage.
    pub fn expect_some(&mut self, stages: &[Stage], only: Option<&str>) {
        let Some(only) = only.filter(|_| self.passed + self.failed.len() + self.skipped.len() == 0) else { return };
        let stages: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
        self.idle = Some(format!("no test of {} has a name that contains {only}", stages.join(", ")));
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
        if let Some(why) = &self.idle {
            println!("FAILED: {why}");
        }
        if let Some((stage, name)) = self.failed.first() {
            let test = name.split(' ').nth(1).unwrap_or_default();
            println!("repeat one with: cargo xtask test {} --only {test}", stage.name());
        }
        println!("{}", self.line());
    }

    /// Failures always count; skips only where nothing may be skipped.
    pub fn good(&self, skips_allowed: bool) -> bool {
        self.failures() == 0 && (skips_allowed || self.skipped.is_empty())
    }

    fn line(&self) -> String {
        format!("{} passed, {} failed, {} skipped", self.passed, self.failures(), self.skipped.len())
    }

    fn failures(&self) -> usize {
        self.failed.len() + usize::from(self.idle.is_some())
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

    #[test]
    fn a_name_that_no_test_has_is_a_failure() {
        let mut summary = Summary::default();
        summary.expect_some(&[Stage::Unit], None);
        assert!(summary.good(true));
        summary.expect_some(&[Stage::Kernel, Stage::Api], Some("no_such_test"));
        assert_eq!(summary.line(), "0 passed, 1 failed, 0 skipped");
        assert_eq!(summary.idle.as_deref(), Some("no test of kernel, api has a name that contains no_such_test"));
        assert!(!summary.good(true));
    }

    #[test]
    fn a_name_that_some_test_has_is_none() {
        let mut summary = Summary::default();
        summary.add(Stage::Unit, "p", Outcome { passed: 1, ..Outcome::default() });
        summary.expect_some(&[Stage::Unit], Some("sums"));
        assert!(summary.good(true));
    }
}

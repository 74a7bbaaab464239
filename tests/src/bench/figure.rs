//! One measured figure with its spread, its noise floor and its target, as `target/bench.json` holds it.

use serde::{Deserialize, Serialize};

use super::stats::Spread;

/// Everything that one part of the bench measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The figures, in the order of their measurement.
    pub figures: Vec<Figure>,
}

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// What one is: `units`, `ratio`, `ms`.
    pub unit: String,
    /// Median over the rounds and its bootstrap interval of 95 %.
    pub value: Spread,
    /// The same of a thing divided by itself, measured in the same rounds.
    pub noise: Option<Spread>,
    /// What it shall be.
    pub target: Option<Target>,
    /// How many rounds.
    pub rounds: usize,
}

/// What a figure shall be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Figure {
    /// A figure from its values in each round.
    pub fn new(name: &str, unit: &str, rounds: &[f64]) -> Self {
        let value = super::spread(rounds);
        Self { name: name.to_owned(), unit: unit.to_owned(), value, noise: None, target: None, rounds: rounds.len() }
    }

    /// With the noise floor beside it.
    #[must_use]
    pub fn beside(mut self, noise: &[f64]) -> Self {
        self.noise = Some(super::spread(noise));
        self
    }

    /// With what it shall be.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether its median reaches the target; `None` without one.
    pub fn holds(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(least) => self.value.median >= least,
            Target::AtMost(most) => self.value.median <= most,
        })
    }
}

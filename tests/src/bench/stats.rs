//! Medians and how far they can be trusted. Pure; the resampling starts from a fixed seed, so that the same values give the same
//! interval.

use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 2_000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// A median with the interval that holds it in 95 of 100 resamplings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Lower end.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// Upper end.
    pub high: f64,
}

/// The median of the values and its bootstrap interval.
pub fn spread(values: &[f64]) -> Spread {
    let mut state = SEED;
    let mut medians: Vec<f64> = (0..RESAMPLES).map(|_| median(&resample(values, &mut state))).collect();
    medians.sort_by(f64::total_cmp);
    Spread { low: percentile(&medians, 2.5), median: median(values), high: percentile(&medians, 97.5) }
}

/// The median; not a number if there are no values.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// The value below which `percent` of all lie, between neighbours in proportion; not a number if there are none.
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = percent / 100.0 * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

fn resample(values: &[f64], state: &mut u64) -> Vec<f64> {
    (0..values.len()).map(|_| values[(next(state) % values.len() as u64) as usize]).collect()
}

/// Xorshift (Marsaglia 2003).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile(&[0.0, 10.0], 99.0), 9.9);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_interval_holds_the_median_and_narrows_with_agreement() {
        let noisy: Vec<f64> = (0..40).map(|i| 1.0 + f64::from(i % 10) / 10.0).collect();
        let found = spread(&noisy);
        assert!(found.low <= found.median && found.median <= found.high);
        assert!(found.low < found.high);
        let steady = spread(&[1.5; 40]);
        assert_eq!((steady.low, steady.median, steady.high), (1.5, 1.5, 1.5));
    }
}

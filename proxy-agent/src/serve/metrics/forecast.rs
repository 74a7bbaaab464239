//! When a table will be full if it goes on filling at the pace of the last hour. Pure: the time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back the pace is taken from: less would alarm at every rolling update, more would be late.
const WINDOW: Duration = Duration::from_secs(3600);
/// Samples are no closer than this: an hour of them takes two kilobytes.
const SPACING: Duration = Duration::from_secs(30);
/// A pace is told only once it was watched for so long.
const LEAST: Duration = Duration::from_secs(300);

/// How many entries one table had in use at times within the last hour, oldest first.
#[derive(Debug, Default)]
pub struct Trend {
    samples: VecDeque<(Instant, u32)>,
}

impl Trend {
    /// Takes note of the entries in use; how many seconds are left until `capacity` of them are. Infinite if the table is not
    /// filling, or was not watched for long enough to tell.
    pub fn seconds_left(&mut self, now: Instant, used: u32, capacity: u32) -> f64 {
        while self.samples.pop_front_if(|(time, _)| now.saturating_duration_since(*time) > WINDOW).is_some() {}
        if self.samples.back().is_none_or(|(time, _)| now.saturating_duration_since(*time) >= SPACING) {
            self.samples.push_back((now, used));
        }
        let Some(&(first, before)) = self.samples.front() else { return f64::INFINITY };
        let watched = now.saturating_duration_since(first);
        let grown = used.saturating_sub(before);
        if used >= capacity {
            0.0
        } else if watched < LEAST || grown == 0 {
            f64::INFINITY
        } else {
            f64::from(capacity - used) * watched.as_secs_f64() / f64::from(grown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_the_last_hour_tells_when_a_table_is_full() {
        let (mut trend, start) = (Trend::default(), Instant::now());
        let mut at = |minute: u64, used| trend.seconds_left(start + Duration::from_secs(60 * minute), used, 1000);
        assert_eq!([at(0, 100), at(4, 140)], [f64::INFINITY; 2], "too early to tell");
        assert_eq!(at(10, 200), 800.0 * 60.0 / 10.0);
        assert_eq!(at(20, 100), f64::INFINITY, "it has emptied again");
        assert_eq!(at(75, 165), 835.0 * 3300.0 / 65.0, "since the oldest sample within an hour");
        assert_eq!(at(76, 1000), 0.0);
    }

    #[test]
    fn an_hour_of_frequent_scrapes_is_few_samples() {
        let (mut trend, start) = (Trend::default(), Instant::now());
        for second in 0..10_000 {
            trend.seconds_left(start + Duration::from_secs(second), 1, 2);
        }
        assert!(trend.samples.len() <= 121, "{}", trend.samples.len());
    }
}

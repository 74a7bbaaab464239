//! The text format of Prometheus, as far as tests read it: one number for each name and label set.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

/// One scrape: from `name{labels}`, as printed, to the value.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the body of `/metrics`.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// The sum over all series of a name whose labels contain every one of `labels`, each written `key="value"`.
    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.0.iter().filter(|(series, _)| matches(series, name, labels)).map(|(_, value)| value).sum()
    }

    /// As [`Self::sum`], of a gauge that is always exported: an error if no series has this name.
    pub fn gauge(&self, name: &str) -> Result<f64> {
        ensure!(self.0.keys().any(|series| matches(series, name, &[])), "no series {name}");
        Ok(self.sum(name, &[]))
    }

    /// How much every series has risen since an earlier scrape, without those that stand still: what an assertion
    /// prints.
    pub fn risen_since(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let rise = |(series, value): (&String, &f64)| {
            let before = earlier.0.get(series).copied().unwrap_or(0.0);
            (*value > before).then(|| (series.clone(), value - before))
        };
        self.0.iter().filter_map(rise).collect()
    }
}

fn matches(series: &str, name: &str, labels: &[&str]) -> bool {
    let (found, rest) = series.split_once('{').unwrap_or((series, ""));
    found == name && labels.iter().all(|label| rest.contains(label))
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn sums_are_by_name_and_labels() {
        let metrics = Metrics::parse("# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"2\"} 4\nab 5\n");
        assert_eq!(metrics.sum("a", &[]), 7.0);
        assert_eq!(metrics.sum("a", &["x=\"1\""]), 3.0);
        assert_eq!(metrics.sum("ab", &[]), 5.0);
        assert_eq!(metrics.gauge("a").ok(), Some(7.0));
        assert!(metrics.gauge("b").is_err());
    }

    #[test]
    fn only_what_rose_is_listed() {
        let before = Metrics::parse("a 1\nb 2\n");
        let after = Metrics::parse("a 1\nb 5\nc 1\n");
        let risen: Vec<_> = after.risen_since(&before).into_iter().collect();
        assert_eq!(risen, [("b".to_owned(), 3.0), ("c".to_owned(), 1.0)]);
    }
}

//! The table: one line a figure. Pure.

use sluice_tests::bench::{Figure, Spread, Target};

/// The heading.
pub fn head() -> String {
    format!("{:<70} {:>8} {:>17} {:>17} {:>8}", "figure", "median", "95 %", "noise floor", "target")
}

/// One figure.
pub fn line(figure: &Figure) -> String {
    let Figure { name, unit, value, noise, .. } = figure;
    let noise = noise.map(|noise| interval(&noise)).unwrap_or_default();
    let target = match figure.target {
        Some(Target::AtLeast(least)) => format!("≥ {least}"),
        Some(Target::AtMost(most)) => format!("≤ {most}"),
        None => String::new(),
    };
    let missed = if figure.holds() == Some(false) { "  missed" } else { "" };
    format!(
        "{:<70} {:>8} {:>17} {noise:>17} {target:>8}{missed}",
        format!("{name} ({unit})"),
        number(value.median),
        interval(value)
    )
}

fn interval(spread: &Spread) -> String {
    format!("{} … {}", number(spread.low), number(spread.high))
}

fn number(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_named() {
        let figure = |value| Figure::new("a", "ratio", &[value; 3]).target(Target::AtLeast(0.97));
        assert!(line(&figure(0.96)).ends_with("≥ 0.97  missed"));
        assert!(line(&figure(0.98)).ends_with("≥ 0.97"));
    }
}

//! Values that Go spells in its own way.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration such as `1h2m3.5s`, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct GoDuration(i128);

impl GoDuration {
    /// None.
    pub const ZERO: Self = Self(0);

    /// So many seconds.
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as i128 * 1_000_000_000)
    }

    /// The same; nothing if it is negative.
    pub fn to_duration(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.max(0)).unwrap_or(u64::MAX))
    }
}

impl FromStr for GoDuration {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        parse_duration(text).ok_or(())
    }
}

/// As Go writes it: `1h0m0s`, `1.5s`, `20ms`, `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, total) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        f.write_str(sign)?;
        match total {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{total}ns"),
            1_000..1_000_000 => return write!(f, "{}µs", total as f64 / 1e3),
            1_000_000..1_000_000_000 => return write!(f, "{}ms", total as f64 / 1e6),
            _ => {}
        }
        let (hours, minutes, rest) = (total / 3_600_000_000_000, total / 60_000_000_000 % 60, total % 60_000_000_000);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if total >= 60_000_000_000 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", rest as f64 / 1e9)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A duration, or a number of nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct TimeOrDuration(pub GoDuration);

/// A size such as `0`, `64Ki` or `1M`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(transparent)]
pub struct Quantity(String);

impl Default for Quantity {
    fn default() -> Self {
        Self("0".into())
    }
}

fn parse_duration(text: &str) -> Option<GoDuration> {
    let (sign, mut rest) = match text.split_at_checked(1)? {
        ("-", rest) => (-1, rest),
        ("+", rest) => (1, rest),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(GoDuration(0));
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (number, tail) = rest.split_at(digits);
        let length = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(length);
        total += number.parse::<f64>().ok()? * nanoseconds(unit)?;
        rest = tail;
    }
    Some(GoDuration(sign * total as i128))
}

fn nanoseconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

fn is_quantity(text: &str) -> bool {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &text[number.len()..];
    number.parse::<f64>().is_ok()
        && ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&suffix)
}

/// A value that is read from a text, or from a whole number.
trait FromScalar: Sized {
    const EXPECTED: &'static str;
    fn from_text(text: &str) -> Option<Self>;
    fn from_number(number: i64) -> Option<Self>;
}

impl FromScalar for GoDuration {
    const EXPECTED: &'static str = "a duration such as 30s or 1h2m";

    fn from_text(text: &str) -> Option<Self> {
        parse_duration(text)
    }

    fn from_number(number: i64) -> Option<Self> {
        (number == 0).then_some(Self(0))
    }
}

impl FromScalar for TimeOrDuration {
    const EXPECTED: &'static str = "a duration such as 5s, or nanoseconds";

    fn from_text(text: &str) -> Option<Self> {
        parse_duration(text).map(Self)
    }

    fn from_number(number: i64) -> Option<Self> {
        Some(Self(GoDuration(number.into())))
    }
}

impl FromScalar for Quantity {
    const EXPECTED: &'static str = "a quantity such as 0 or 64Ki";

    fn from_text(text: &str) -> Option<Self> {
        is_quantity(text).then(|| Self(text.to_owned()))
    }

    fn from_number(number: i64) -> Option<Self> {
        Some(Self(number.to_string()))
    }
}

struct Scalar<T>(std::marker::PhantomData<T>);

impl<T: FromScalar> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        T::from_number(number).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        i64::try_from(number)
            .ok()
            .and_then(T::from_number)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }
}

macro_rules! scalar {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Scalar(std::marker::PhantomData))
            }
        }
    )*};
}
scalar!(GoDuration, TimeOrDuration, Quantity);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanoseconds) in [
            ("0s", Some(0)),
            ("0", Some(0)),
            ("1h2m3.5s", Some(3_723_500_000_000)),
            ("-1ms", Some(-1_000_000)),
            ("15m0s", Some(900_000_000_000)),
            ("", None),
            ("-", None),
            ("5", None),
            ("5 s", None),
            ("s", None),
        ] {
            assert_eq!(parse_duration(text), nanoseconds.map(GoDuration), "{text:?}");
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for text in ["0s", "30s", "1m0s", "1h2m3.5s", "24h0m0s", "250ms", "1.5ms", "20µs", "7ns", "-1m30s"] {
            assert_eq!(parse_duration(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn quantities() {
        for text in ["0", "64Ki", "1.5M"] {
            assert!(is_quantity(text), "{text:?}");
        }
        for text in ["", "Ki", "1X", "1kB"] {
            assert!(!is_quantity(text), "{text:?}");
        }
    }
}

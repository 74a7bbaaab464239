//! Items of `--devices`: `PATTERN` or `PATTERN=EDGE`, which overrule what `edges` finds. `*` in a pattern stands for any text.

use super::edges::Edge;
use std::str::FromStr;

/// One item: which devices, and what they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRule {
    pattern: String,
    edge: Edge,
}

/// Why an item was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no name.
    #[error("an item without a device's name: write NAME or NAME=uplink|overlay|pod|none")]
    NoName,
    /// The edge is unknown.
    #[error("device {name}: there is no edge {edge:?}: write {name}=uplink, {name}=overlay, {name}=pod or {name}=none")]
    NoSuchEdge {
        /// The device's name.
        name: String,
        /// What stood after it.
        edge: String,
    },
}

impl DeviceRule {
    /// Whether the item speaks of the device.
    pub fn matches(&self, name: &str) -> bool {
        glob(&self.pattern, name)
    }

    /// What the device is.
    pub const fn edge(&self) -> Edge {
        self.edge
    }
}

impl FromStr for DeviceRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (name, edge) = text.trim().split_once('=').unwrap_or((text.trim(), "uplink"));
        if name.is_empty() {
            return Err(RuleError::NoName);
        }
        let edge = match edge {
            "uplink" => Edge::Uplink,
            "overlay" => Edge::Overlay,
            "pod" => Edge::PodSide,
            "none" => Edge::None,
            other => return Err(RuleError::NoSuchEdge { name: name.into(), edge: other.into() }),
        };
        Ok(Self { pattern: name.into(), edge })
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|tail| (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| glob(rest, &tail[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (rule, name, matches) in [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth*", "eth0.100", true),
            ("*", "", true),
            ("e*0", "ens10", true),
            ("e*0=none", "ens11", false),
        ] {
            assert_eq!(rule.parse::<DeviceRule>().unwrap().matches(name), matches, "{rule} {name}");
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        assert_eq!("".parse::<DeviceRule>(), Err(RuleError::NoName));
        let error = "eth0=wan".parse::<DeviceRule>().unwrap_err().to_string();
        assert!(error.contains("eth0=uplink"), "{error}");
    }
}

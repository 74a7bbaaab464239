//! `null` for a list, a map or a text means that it is empty, as Go's decoder has it.

use serde::{Deserialize, Deserializer};

/// The value, or its default where `null` stands.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

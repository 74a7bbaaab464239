//! Errors of the YAML parser as line and text.

/// The line, counted from 1 (0 if unknown), and what is wrong, on one line.
pub fn yaml_error(error: &serde_saphyr::Error) -> (u64, String) {
    let line = error.location().map_or(0, |location| location.line());
    let text = error.without_snippet().to_string();
    (line, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

//! What every reader of YAML needs: the documents of a text, and errors of the parser as line and text.

/// The line, counted from 1 (0 if unknown), and what is wrong, on one line.
pub fn yaml_error(error: &serde_saphyr::Error) -> (u64, String) {
    let line = error.location().map_or(0, |location| location.line());
    let text = error.without_snippet().to_string();
    (line, text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The documents and the lines where they begin. A line of three dashes can stand nowhere but between documents.
pub fn yaml_documents(text: &str) -> Vec<(u64, &str)> {
    let mut found = Vec::new();
    let (mut start, mut first, mut at) = (0, 1, 0);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if line.strip_prefix("---").is_some_and(|rest| rest.trim_start() != rest || rest.is_empty()) {
            found.push((first, &text[start..at]));
            (start, first) = (at, number);
        }
        at += line.len();
    }
    found.push((first, &text[start..]));
    found
}

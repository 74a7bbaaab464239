//! The length of functions, read off the indentation that rustfmt gives them. Pure.

use crate::tidy::sources::Breach;

const LONGEST: usize = 60;

/// Functions over the limit, each with its first line.
pub fn too_long(text: &str) -> Vec<Breach> {
    let lines: Vec<&str> = text.lines().collect();
    let starts = lines.iter().enumerate().filter(|(_, line)| is_function(line));
    starts
        .filter_map(|(start, line)| {
            let length = length(&lines[start..], indent(line));
            let what = format!("a function of {length} lines, limit {LONGEST}");
            (length > LONGEST).then_some((start + 1, what))
        })
        .collect()
}

/// Lines from the signature to the brace that closes its indentation.
fn length(lines: &[&str], indent: &str) -> usize {
    let signature = lines.iter().position(|line| line.ends_with(['{', ';', '}'])).unwrap_or(0);
    if !lines[signature].ends_with('{') {
        return signature + 1;
    }
    let end = lines.iter().position(|line| line.strip_prefix(indent) == Some("}"));
    end.map_or(lines.len(), |end| end + 1)
}

fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let qualifiers = ["const", "async", "unsafe", "extern", "\"C\""];
    words.find(|word| !word.starts_with("pub") && !qualifiers.contains(word)) == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(head: &str, body: usize) -> String {
        let indent = indent(head);
        format!("{head}\n{}{indent}}}\n", format!("{indent}    line();\n").repeat(body))
    }

    #[test]
    fn the_limit_counts_signature_and_brace() {
        assert_eq!(too_long(&function("fn a() {", 58)), []);
        let [(line, what)] = &too_long(&format!("\n{}", function("pub(crate) async fn a() {", 59)))[..] else {
            panic!("one breach");
        };
        assert_eq!((*line, what.as_str()), (2, "a function of 61 lines, limit 60"));
    }

    #[test]
    fn methods_end_at_their_own_brace() {
        let text = format!("impl A {{\n{}{}}}\n", function("    const fn a() {", 40), function("    fn b(&self) {", 40));
        assert_eq!(too_long(&text), []);
    }

    #[test]
    fn signatures_of_several_lines_and_without_body() {
        assert_eq!(too_long(&format!("trait T {{\n    fn a(\n    );\n{}}}", "\n".repeat(80))), []);
        assert_eq!(too_long(&format!("fn a() {{}}\n{}}}\n", "x\n".repeat(80))), []);
    }
}

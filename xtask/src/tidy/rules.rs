//! What a source file may hold, as functions of its path and text. Pure.

use crate::tidy::sources::Breach;

const LONGEST: usize = 500;
/// Spelt in two parts, so that this file passes its own check.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimplemented", "!(")];
const ALLOW: [&str; 2] = [concat!("[al", "low("), concat!(", al", "low(")];

/// A name that only some folders of the agent may use.
struct Border {
    names: &'static [&'static str],
    folders: &'static [&'static str],
    what: &'static str,
}

const BORDERS: [Border; 2] = [
    Border {
        names: &["aya::", "use aya;"],
        folders: &["proxy-agent/src/maps/", "proxy-agent/src/attach/"],
        what: "only maps and attach name aya",
    },
    Border {
        names: &["kube::", "k8s_openapi::"],
        folders: &["proxy-agent/src/watch/", "proxy-agent/src/state/"],
        what: "only watch and state name Kubernetes types",
    },
];
const IO: [&str; 6] = ["std::fs", "std::net::Tcp", "std::net::Udp", "std::process", "std::env", "tokio::"];

/// The files that docs/architecture.md lists below its heading on unsafe code: "- `path`: reason".
pub fn unsafe_files(architecture: &str) -> Vec<String> {
    let section = architecture.split("\n## ").find(|section| section.starts_with("Unsafe code"));
    let lines = section.unwrap_or_default().lines();
    lines.filter_map(|line| Some(line.strip_prefix("- `")?.split('`').next()?.to_owned())).collect()
}

/// Every breach but those of functions' lengths.
pub fn breaches(path: &str, text: &str, unsafe_files: &[String]) -> Vec<Breach> {
    let mut found = shape(path, text);
    let mut doubtful = false;
    for (number, line) in text.lines().enumerate() {
        let code = code(line);
        found.extend(line_breaches(path, line, &code).into_iter().map(|what| (number + 1, what)));
        if has_word(&code, "unsafe") && !listed(path, unsafe_files) && !doubtful {
            doubtful = true;
            found.push((number + 1, "unsafe code in a file that docs/architecture.md does not list".to_owned()));
        }
    }
    found
}

/// The file as a whole.
fn shape(path: &str, text: &str) -> Vec<Breach> {
    let mut found = Vec::new();
    let length = text.lines().count();
    if length > LONGEST {
        found.push((length, format!("{length} lines, limit {LONGEST}")));
    }
    if !text.starts_with("//!") {
        found.push((1, "does not open with //! what it owns and its invariant".to_owned()));
    }
    if path.ends_with("/lib.rs") || path.ends_with("/mod.rs") {
        found.extend(foreign_to_an_index(text));
    }
    found
}

/// Lines of a lib.rs or mod.rs that are neither documentation nor `mod` nor a re-export.
fn foreign_to_an_index(text: &str) -> Option<Breach> {
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let known = ["//", "#!", "#[", "mod ", "pub mod ", "pub use ", "pub(crate) mod ", "pub(crate) use ", "extern crate "];
        if !inside && !start.is_empty() && !known.iter().any(|known| start.starts_with(known)) {
            return Some((number + 1, "lib.rs and mod.rs hold documentation, mod and pub use alone".to_owned()));
        }
        let statement = inside || !(start.is_empty() || start.starts_with("//") || start.starts_with('#'));
        inside = statement && !line.ends_with(';');
    }
    None
}

fn line_breaches(path: &str, line: &str, code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in UNFINISHED.iter().filter(|word| line.contains(**word)) {
        found.push(format!("{word}: finish it, or leave it out"));
    }
    if ALLOW.iter().any(|allow| code.contains(allow)) {
        found.push("a bare allow: use expect(lint, reason = ...)".to_owned());
    }
    if path.starts_with("proxy-agent/src/") {
        found.extend(border_breaches(path, code));
    }
    found
}

fn border_breaches(path: &str, code: &str) -> Vec<String> {
    let crossed = BORDERS.iter().filter(|border| {
        !border.folders.iter().any(|folder| path.starts_with(folder)) && border.names.iter().any(|name| names(code, name))
    });
    let mut found: Vec<String> = crossed.map(|border| border.what.to_owned()).collect();
    if path.starts_with("proxy-agent/src/compile/") && IO.iter().any(|name| code.contains(name)) {
        found.push("compile does no IO".to_owned());
    }
    found
}

fn listed(path: &str, unsafe_files: &[String]) -> bool {
    unsafe_files.iter().any(|file| path == file || (file.ends_with('/') && path.starts_with(file.as_str())))
}

/// The line without its comment and its strings.
fn code(line: &str) -> String {
    let unescaped = line.replace("\\\"", "");
    let outside = unescaped.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    outside.split("//").next().unwrap_or_default().to_owned()
}

fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// Whether the path `name` is used, not one that merely ends in it.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;

//! Builds the test programs of a stage and finds out where cargo put them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// One test program.
#[derive(Debug, PartialEq, Eq)]
pub struct Binary {
    /// How it is called in reports: its package and target.
    pub name: String,
    /// The program.
    pub path: PathBuf,
    /// The folder of its package, where cargo runs it.
    pub folder: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds what cargo's `selection` names, sorted by name.
pub fn build(selection: &[String]) -> Result<Vec<Binary>> {
    let mut cargo = process::host_cargo();
    cargo
        .args(["test", "--release", "--no-run", "--quiet", "--message-format=json-render-diagnostics"])
        .args(selection)
        .stderr(Stdio::inherit());
    let output = cargo.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the tests do not compile: cargo test {}", selection.join(" "));
    }
    let mut found: Vec<Binary> = String::from_utf8(output.stdout)?.lines().filter_map(parse).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn parse(line: &str) -> Option<Binary> {
    let message: Message = serde_json::from_str(line).ok()?;
    if !message.profile?.test {
        return None;
    }
    let folder = message.manifest_path?.parent().map(Path::to_path_buf)?;
    let package = folder.file_name()?.to_string_lossy().into_owned();
    let target = message.target?.name;
    let name = if target.replace('_', "-") == package { package } else { format!("{package}/{target}") };
    Some(Binary { name, path: message.executable?, folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_are_found() {
        let line = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/r/tests/Cargo.toml","target":{{"name":"kernel_tc"}},"profile":{{"test":{test}}},"executable":"/t/kernel_tc-1"}}"#
            )
        };
        let found = parse(&line(true)).expect("a test program");
        assert_eq!(found.name, "tests/kernel_tc");
        assert_eq!(found.folder, Path::new("/r/tests"));
        assert_eq!(parse(&line(false)), None);
        assert_eq!(parse(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(parse("not json"), None);
    }
}

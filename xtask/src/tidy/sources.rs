//! Applies the limits of the house to every Rust source file of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::tidy::functions;
use crate::tidy::rules;

const CRATES: [&str; 6] = ["proxy-common", "proxy-ebpf", "proxy-agent", "tests", "xtask", "fuzz"];

/// One breach of a limit, as editors understand it: `path:line: what`.
pub type Breach = (usize, String);

/// Lists every breach in every file.
pub fn check() -> Result<()> {
    let root = paths::root();
    let architecture = fs::read_to_string(root.join("docs/architecture.md")).context("docs/architecture.md")?;
    let unsafe_files = rules::unsafe_files(&architecture);
    let mut lines = Vec::new();
    for path in sources(&root)? {
        let text = fs::read_to_string(root.join(&path)).with_context(|| format!("reading {}", path.display()))?;
        let name = path.to_string_lossy();
        let mut breaches = rules::breaches(&name, &text, &unsafe_files);
        breaches.extend(functions::too_long(&text));
        lines.extend(breaches.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    for gone in unsafe_files.iter().filter(|file| !root.join(file).exists()) {
        lines.push(format!("docs/architecture.md:1: lists {gone}, which does not exist"));
    }
    if !lines.is_empty() {
        bail!("{}\n{} breaches", lines.join("\n"), lines.len());
    }
    Ok(())
}

/// All Rust files below the crates' folders, relative to the root, sorted.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = CRATES.iter().map(PathBuf::from).filter(|name| root.join(name).exists()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.extend((entry.file_name() != "target").then_some(path));
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

//! The stages: which tests each has and what must be there before they run.

use std::fs;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

use crate::build;
use crate::controlplane;
use crate::machine;
use crate::paths;
use crate::setup;

/// One group of tests with the same needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Pure code; needs no root and no eBPF tool chain
    Unit,
    /// From YAML to tables; needs no root and no eBPF tool chain
    Golden,
    /// What people and controllers write, edited by libFuzzer for some seconds; needs a C++ compiler
    Fuzz,
    /// Network namespaces and loaded programs; needs root
    Kernel,
    /// A real API server; needs root
    Api,
}

impl Stage {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Golden => "golden",
            Self::Fuzz => "fuzz",
            Self::Kernel => "kernel",
            Self::Api => "api",
        }
    }

    /// Cargo's choice of test programs; `None` if the stage has none.
    pub fn selection(self) -> Option<Vec<String>> {
        match self {
            Self::Unit => Some(words("-p proxy-common -p proxy-agent -p xtask --lib --bins")),
            Self::Golden => integration("proxy-agent", "golden", ""),
            Self::Fuzz => None,
            Self::Kernel => integration("sluice-tests", "kernel_", "--lib"),
            Self::Api => integration("sluice-tests", "api_", ""),
        }
    }

    /// Makes what the stage needs. Pure stages leave the machine as it is.
    pub fn prepare(self) -> Result<()> {
        match self {
            Self::Unit | Self::Golden => build::placeholder(),
            Self::Fuzz => build::placeholder().and_then(|()| setup::packages(&setup::FUZZ)).and_then(|()| setup::cargo_fuzz()),
            Self::Kernel => {
                machine::check("test").and_then(|()| setup::packages(&setup::NETWORK)).and_then(|()| build::sluice().map(drop))
            }
            Self::Api => Self::Kernel
                .prepare()
                .and_then(|()| setup::packages(&setup::CONTROL_PLANE))
                .and_then(|()| controlplane::build().map(drop)),
        }
    }

    /// Arguments for libtest. Tests that share the machine take turns.
    pub fn libtest_args(self) -> &'static [&'static str] {
        match self {
            Self::Unit | Self::Golden | Self::Fuzz => &["--show-output"],
            Self::Kernel | Self::Api => &["--show-output", "--test-threads=1"],
        }
    }
}

/// The programs `PACKAGE/tests/PREFIX*.rs`, and `more`.
fn integration(package: &str, prefix: &str, more: &str) -> Option<Vec<String>> {
    let folder = paths::root().join(if package == "sluice-tests" { "tests" } else { package }).join("tests");
    let mut args = words(&format!("-p {package} {more}"));
    let before = args.len();
    for name in programs(&folder, prefix) {
        args.extend(["--test".to_owned(), name]);
    }
    (args.len() > before || !more.is_empty()).then_some(args)
}

fn programs(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned()))
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_program_has_a_stage() {
        let stages = [Stage::Unit, Stage::Golden, Stage::Kernel, Stage::Api];
        let run: Vec<String> = stages.iter().filter_map(|stage| stage.selection()).flatten().collect();
        for package in ["proxy-common", "proxy-agent", "tests", "xtask"] {
            let names = programs(&paths::root().join(package).join("tests"), "");
            assert_eq!(names.is_empty(), ["proxy-common", "xtask"].contains(&package), "programs of {package}");
            for name in names {
                assert_eq!(run.iter().filter(|word| **word == name).count(), 1, "{package}/tests/{name}.rs");
            }
        }
    }
}

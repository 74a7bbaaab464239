//! Runs the fuzz targets for a short while each. The host's compiler has the coverage that libFuzzer is guided by, and no sanitizer:
//! what is looked for are panics and broken laws in safe code.

use std::fs;

use anyhow::{Context, Result};

use crate::paths;
use crate::process;
use crate::test::interrupt::Interrupt;
use crate::test::libtest::Outcome;

const TARGETS: [&str; 2] = ["manifests", "configuration"];
/// Seconds of each.
const DURATION: u32 = 20;

/// Runs those whose name contains `only`, each from a copy of its corpus, so that what is found on the way leaves no file behind; what
/// crashes does, in `proxy-agent/fuzz/artifacts`.
pub fn run(only: Option<&str>, interrupt: &Interrupt) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for target in TARGETS.into_iter().filter(|target| only.is_none_or(|only| target.contains(only))) {
        if interrupt.raised() {
            break;
        }
        let corpus = copy_corpus(target)?;
        let mut command = process::host_cargo();
        command.args([
            "fuzz",
            "run",
            "--fuzz-dir",
            "proxy-agent/fuzz",
            "--sanitizer",
            "none",
            "--dev",
            "--target-dir",
            "target/fuzz",
            target,
        ]);
        command.arg(corpus).args(["--", &format!("-max_total_time={DURATION}"), "-verbosity=0", "-timeout=10"]);
        match process::run(&mut command) {
            Ok(()) => {
                println!("test {target} ... ok");
                outcome.passed += 1;
            }
            Err(_) if interrupt.raised() => break,
            Err(error) => {
                println!("test {target} ... FAILED");
                outcome
                    .details
                    .push(format!("{error:#}\nmend it, and put the file named above into proxy-agent/fuzz/corpus/{target}"));
                outcome.failed.push(target.to_owned());
            }
        }
    }
    Ok(outcome)
}

fn copy_corpus(target: &str) -> Result<std::path::PathBuf> {
    let (from, to) =
        (paths::root().join("proxy-agent/fuzz/corpus").join(target), paths::root().join("target/fuzz/corpus").join(target));
    if to.exists() {
        fs::remove_dir_all(&to).with_context(|| format!("remove {}", to.display()))?;
    }
    fs::create_dir_all(&to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(&from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(to)
}

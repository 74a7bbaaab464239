//! What must be there before anything is measured: root, the tools, the objects and the programs, among them kube-proxy and the
//! API server that it follows.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::build;
use crate::controlplane;
use crate::machine;
use crate::process;
use crate::setup;

/// Builds the agent, the reference object, the traffic helper and the bench, whose path is returned; and what
/// `kube_proxy` needs, if it is measured too.
pub fn build(kube_proxy: bool) -> Result<PathBuf> {
    machine::check("bench")?;
    setup::packages(&setup::NETWORK)?;
    if kube_proxy {
        setup::packages(&setup::CONTROL_PLANE)?;
        controlplane::build()?;
    }
    build::ebpf_reference()?;
    build::sluice()?;
    figures()
}

fn figures() -> Result<PathBuf> {
    let mut cargo = process::host_cargo();
    cargo.args(["build", "--release", "--quiet", "--package", "sluice-tests", "--bins", "--bench", "figures"]);
    let output = cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the bench does not compile: cargo build --release -p sluice-tests --bench figures");
    }
    let text = String::from_utf8(output.stdout)?;
    text.lines().find_map(executable).context("cargo built no bench")
}

/// The path in one of cargo's messages, if it is about the bench.
fn executable(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    (message["target"]["name"] == "figures").then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bench_is_found_among_messages() {
        let line = |name: &str| format!(r#"{{"target":{{"name":"{name}"}},"executable":"/t/figures-1"}}"#);
        assert_eq!(executable(&line("figures")), Some(PathBuf::from("/t/figures-1")));
        assert_eq!(executable(&line("sluice-traffic")), None);
        assert_eq!(executable("not json"), None);
    }
}

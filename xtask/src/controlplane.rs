//! Builds the control plane of the tests: `tests/controlplane` into `target/controlplane`.
//!
//! Programs that `KUBEBUILDER_ASSETS` has are not built. A stamp beside the programs holds what
//! they were built from; only a change of that builds them again.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths;
use crate::process;
use crate::setup;

/// Every program that the tests may start.
const PROGRAMS: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kubectl"];
/// Not built; in Debian 12, where it is `usr/bin/etcd`.
const OLD_ETCD: &str = "etcd-3.4";
const VERSION_PACKAGE: &str = "k8s.io/component-base/version";

/// Where the built programs are.
pub fn folder() -> PathBuf {
    paths::target().join("controlplane")
}

/// Builds or fetches what is missing or out of date, and returns the folder.
pub fn build() -> Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    if !provided(OLD_ETCD) {
        setup::unpacked(&setup::OLD_ETCD, "usr/bin/etcd", &folder.join(OLD_ETCD)).with_context(|| {
            format!(
                "no etcd 3.4: put one as {OLD_ETCD} into a folder that KUBEBUILDER_ASSETS names, or into {}",
                folder.display()
            )
        })?;
    }
    build_stale(&folder)?;
    Ok(folder)
}

fn build_stale(folder: &Path) -> Result<()> {
    let module = paths::root().join("tests/controlplane");
    let wanted = PROGRAMS.into_iter().filter(|program| !provided(program));
    let stale: Vec<(&str, String)> = wanted
        .map(|program| Ok((program, stamp(&module, program)?)))
        .filter(|entry| entry.as_ref().map_or(true, |(program, stamp)| !up_to_date(folder, program, stamp)))
        .collect::<Result<_>>()?;
    if stale.is_empty() {
        return Ok(());
    }
    let go = setup::go()?;
    println!("setup: building the control plane of the tests (from nothing: about 7 minutes on two cores)");
    for (program, stamp) in stale {
        println!("setup: building {program}");
        compile(&go, &module, program, folder).with_context(|| format!("building {program}"))?;
        fs::write(stamp_file(folder, program), stamp)?;
    }
    Ok(())
}

fn compile(go: &Path, module: &Path, program: &str, folder: &Path) -> Result<()> {
    let goroot = go.parent().and_then(Path::parent).filter(|root| root.join("pkg/tool").exists());
    let mut command = Command::new("/usr/bin/nice");
    command.current_dir(module).env_remove("GOROOT").env("GOTOOLCHAIN", "local").args(["-n", "19"]).arg(go);
    if let Some(root) = goroot {
        command.env("GOROOT", root);
    }
    command.args(["build", "-trimpath", "-ldflags"]).arg(linker_flags(module)?).arg("-o").arg(folder.join(program));
    process::run(command.arg(format!("./{program}")))
}

/// Without them the programs would call themselves 0.0.0 and refuse each other's versions.
fn linker_flags(module: &Path) -> Result<String> {
    let text = fs::read_to_string(module.join("go.mod"))?;
    let version = kubernetes_version(&text).context("no k8s.io/kubernetes in tests/controlplane/go.mod")?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let sets = [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")];
    let sets = sets.map(|(name, value)| format!("-X {VERSION_PACKAGE}.{name}={value}"));
    Ok(format!("-s -w {}", sets.join(" ")))
}

fn kubernetes_version(go_mod: &str) -> Option<&str> {
    let line = go_mod.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))?;
    line.split(' ').next()
}

fn provided(program: &str) -> bool {
    env::var_os("KUBEBUILDER_ASSETS").is_some_and(|folder| Path::new(&folder).join(program).exists())
}

/// All that decides what the program becomes.
fn stamp(module: &Path, program: &str) -> Result<String> {
    let files = [module.join("go.mod"), module.join("go.sum"), module.join(program).join("main.go")];
    let texts: Vec<String> = files
        .iter()
        .map(|file| fs::read_to_string(file).with_context(|| format!("reading {}", file.display())))
        .collect::<Result<_>>()?;
    Ok(texts.concat())
}

fn stamp_file(folder: &Path, program: &str) -> PathBuf {
    folder.join(format!("{program}.stamp"))
}

fn up_to_date(folder: &Path, program: &str, stamp: &str) -> bool {
    folder.join(program).exists() && fs::read_to_string(stamp_file(folder, program)).is_ok_and(|old| old == stamp)
}

#[cfg(test)]
mod tests {
    use super::kubernetes_version;

    #[test]
    fn version_out_of_both_forms_of_go_mod() {
        assert_eq!(kubernetes_version("require (\n\tk8s.io/kubernetes v1.36.3\n)"), Some("v1.36.3"));
        assert_eq!(kubernetes_version("require (\n\tk8s.io/kubernetes v1.36.3 // x\n)"), Some("v1.36.3"));
        assert_eq!(kubernetes_version("k8s.io/api v0.36.3"), None);
    }
}

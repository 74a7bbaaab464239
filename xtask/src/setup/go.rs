//! A Go tool chain that can compile Kubernetes. Debian 12's own is too old for that, but can fetch
//! a newer one through the module proxy, whose folder in the module cache is a whole GOROOT.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::paths;
use crate::process;
use crate::setup::{Package, packages};

/// What k8s.io/kubernetes 1.36 asks for.
const OLDEST: (u32, u32) = (1, 26);
const TOOLCHAIN: &str = "golang.org/toolchain@v0.0.1-go1.26.8.linux";
const BOOTSTRAP: [Package; 1] = [Package { name: "golang-go", reason: "fetching the Go that compiles the API server" }];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: PathBuf,
}

/// The path of a `go` command that is new enough; one is fetched when there is none.
pub fn go() -> Result<PathBuf> {
    let usual = [PathBuf::from("go"), PathBuf::from("/usr/local/go/bin/go"), PathBuf::from("/usr/bin/go")];
    if let Some(found) = usual.into_iter().find(|path| new_enough(path)) {
        return Ok(found);
    }
    packages(&BOOTSTRAP)?;
    println!("setup: fetching Go, {TOOLCHAIN}-{} (compiles the API server of the tests)", architecture());
    let go = fetch(Path::new("/usr/bin/go"))?.join("bin/go");
    if !new_enough(&go) {
        bail!("{} does not run; remove that folder and try again", go.display());
    }
    Ok(go)
}

/// Downloads the tool chain into the module cache, once, and returns its folder.
fn fetch(go: &Path) -> Result<PathBuf> {
    let module = paths::target().join("go-fetch");
    fs::create_dir_all(&module)?;
    fs::write(module.join("go.mod"), "module fetch\n")?;
    let mut command = Command::new(go);
    command.current_dir(&module).env_remove("GOROOT").args(["mod", "download", "-json"]);
    command.arg(format!("{TOOLCHAIN}-{}", architecture()));
    let answer = process::capture(&mut command)?;
    let folder = serde_json::from_str::<Downloaded>(&answer).context("answer of go mod download")?.dir;
    make_executable(&folder.join("bin"))?;
    for tools in fs::read_dir(folder.join("pkg/tool"))? {
        make_executable(&tools?.path())?;
    }
    Ok(folder)
}

/// What Go calls this machine's processor.
fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A module archive keeps no permissions.
fn make_executable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o555))?;
        }
    }
    Ok(())
}

fn new_enough(go: &Path) -> bool {
    let output = Command::new(go).env("GOTOOLCHAIN", "local").arg("version").output();
    let Ok(output) = output else { return false };
    parse_version(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= OLDEST)
}

/// Out of `go version go1.26.8 linux/amd64`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(' ').nth(2)?.strip_prefix("go")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions() {
        assert_eq!(parse_version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(parse_version("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(parse_version(""), None);
    }
}

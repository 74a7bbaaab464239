//! Debian packages. Only missing ones are installed, all of one call together.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// A package and what Sluice wants it for.
pub struct Package {
    /// Its name in Debian 12.
    pub name: &'static str,
    /// Shown to the user when it is installed.
    pub reason: &'static str,
}

/// What clusters of network namespaces are made with.
pub const NETWORK: [Package; 3] = [
    Package { name: "iproute2", reason: "the network namespaces that act as nodes and pods" },
    Package { name: "ethtool", reason: "offloads of their devices" },
    Package { name: "procps", reason: "sysctl in them" },
];

/// What the control plane of the tests needs beside its own programs.
pub const CONTROL_PLANE: [Package; 2] = [
    Package { name: "openssl", reason: "the key of the tests' service accounts" },
    Package { name: "nftables", reason: "kube-proxy, which figures are compared with" },
];

/// An etcd before 3.4.31, and with it an API server that does not stream lists. Taken out of its package: see [`super::unpacked`].
pub const OLD_ETCD: Package = Package { name: "etcd-server=3.4.*", reason: "an API server that does not stream lists" };

/// What fuzz targets are linked with.
pub const FUZZ: [Package; 1] = [Package { name: "g++", reason: "libFuzzer, which is C++" }];

/// Makes sure that all of these are installed.
pub fn packages(wanted: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = wanted.iter().filter(|package| !installed(package.name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        println!("setup: package {} is missing; it is for {}", package.name, package.reason);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this is no Debian; install what its packages {} hold", names.join(" "));
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("not root; run: sudo apt-get install {}", names.join(" "));
    }
    install(&names)
}

fn install(names: &[&str]) -> Result<()> {
    update()?;
    println!("setup: installing {}", names.join(" "));
    process::run(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(names))
}

/// Fetches apt's lists.
pub fn update() -> Result<()> {
    process::run(apt_get().args(["update", "-qq"]))
}

/// apt-get, that asks nothing.
pub fn apt_get() -> Command {
    let mut command = Command::new("/usr/bin/apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]);
    command
}

fn installed(name: &str) -> bool {
    Command::new("/usr/bin/dpkg-query")
        .args(["-W", "-f", "${Status}", name])
        .output()
        .is_ok_and(|output| output.stdout == b"install ok installed")
}

//! One named network namespace: made, entered and removed through iproute2 and `setns`.
//!
//! Invariant: only short-lived threads of their own ever enter a namespace; the caller's thread never leaves its own.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

/// A network namespace by its name below `/run/netns`. Dropping it removes nothing; [`crate::Rig`] does.
#[derive(Clone, Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes the namespace, with loopback up and without duplicate address detection or router discovery, which would
    /// keep IPv6 addresses unusable for the first second.
    pub fn create(name: &str) -> Result<Self> {
        ip(&["netns", "add", name])?;
        let netns = Self { name: name.to_owned() };
        netns.ip("link set lo up")?;
        for key in ["default/accept_dad", "all/accept_dad", "default/accept_ra", "all/accept_ra"] {
            netns.sysctl(&format!("net/ipv6/conf/{key}"), "0")?;
        }
        Ok(netns)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds it open.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Runs `work` in a thread that has entered the namespace. A process spawned in there starts in the namespace.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(self.path()).with_context(|| format!("open namespace {}", self.name))?;
        thread::scope(|scope| {
            let entered = scope.spawn(move || -> Result<T> {
                setns(&file, CloneFlags::CLONE_NEWNET).context("setns: run as root")?;
                Ok(work())
            });
            match entered.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Writes a sysctl, named by its path below `/proc/sys`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let file = format!("/proc/sys/{path}");
        self.enter(|| fs::write(&file, value))?.with_context(|| format!("write {value} to {file} in {}", self.name))
    }

    /// Runs lines of `ip -batch` in the namespace; the first that fails ends it with an error that names the line.
    pub fn ip(&self, lines: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["-n", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start ip: install iproute2")?;
        child.stdin.take().context("stdin of ip")?.write_all(lines.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("ip in {}: {}\n{lines}", self.name, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs a command in the namespace and returns what it printed.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        let output = self
            .enter(|| Command::new(program).args(args).stdin(Stdio::null()).output())?
            .with_context(|| format!("start {program}"))?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{program} {} in {}: {}", args.join(" "), self.name, error.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Runs `ip` in the caller's namespace and returns what it printed.
pub fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output().context("start ip: install iproute2")?;
    if !output.status.success() {
        bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

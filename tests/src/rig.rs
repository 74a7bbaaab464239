//! What one test owns on the machine, all named after it: namespaces `sluice-<test>_…`, a cgroup `sluice-<test>`, pins below
//! `/sys/fs/bpf/sluice-test-<test>`, files in `/tmp/sluice-<test>`, reports of its agents in `/run/sluice`.
//!
//! Invariant: all of it is gone when the rig is dropped, when the process panics, and when the process is killed by any
//! signal: a janitor process waits for the end of its parent. A rig that was cut off even so is removed by the next run.
//! Nobody else on the machine can read its files, or put others in their place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use libc::O_NOFOLLOW;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::cgroup::{self, Cgroup};
use crate::netns::{Netns, ip};
use crate::traffic::{Task, helper};

/// Where BPF objects are pinned.
const BPFFS: &str = "/sys/fs/bpf";

/// Where agents report, in files named after their pins (docs/operations.md).
const REPORTS: &str = "/run/sluice";

/// Everything a test has made. Two rigs of one name never exist at once: the second waits for the first.
#[derive(Debug)]
pub struct Rig {
    test: String,
    janitor: Option<Child>,
    cgroup: Cgroup,
    _lock: Flock<File>,
}

impl Rig {
    /// Removes what an earlier run left behind and makes the cgroup and the folders.
    pub fn new(test: &str) -> Result<Self> {
        if !geteuid().is_root() {
            bail!("network namespaces and eBPF need root: run as root, or `sudo -E cargo xtask test`");
        }
        let lock = lock(test)?;
        mount_bpffs()?;
        reap(test)?;
        DirBuilder::new().mode(0o700).create(scratch(test)).with_context(|| format!("make {}", scratch(test).display()))?;
        fs::create_dir_all(pins(test))?;
        let cgroup = Cgroup::create(&format!("sluice-{test}"))?;
        Ok(Self { test: test.to_owned(), janitor: Some(start_janitor(test)?), cgroup, _lock: lock })
    }

    /// The name all that it owns is derived from.
    pub fn test(&self) -> &str {
        &self.test
    }

    /// Makes the namespace `sluice-<test>_<role>`: no other test's name goes on like that.
    pub fn netns(&self, role: &str) -> Result<Netns> {
        Netns::create(&format!("sluice-{}_{role}", self.test))
    }

    /// The cgroup folder of the test.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// A folder for the files of the test.
    pub fn scratch(&self) -> PathBuf {
        scratch(&self.test)
    }

    /// A folder of the BPF file system for pins, one for each `role`.
    pub fn pins(&self, role: &str) -> PathBuf {
        pins(&self.test).join(role)
    }

    /// Leaves everything in place when the process ends, until [`reap`] is called with the same name.
    pub fn keep(mut self) -> Result<()> {
        self.janitor.take().map_or(Ok(()), dismiss)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let Some(janitor) = self.janitor.take() else { return };
        if let Err(error) = reap(&self.test) {
            eprintln!("cleaning up after {}: {error:#}", self.test);
        }
        if let Err(error) = dismiss(janitor) {
            eprintln!("the janitor of {}: {error:#}", self.test);
        }
    }
}

/// Removes all that a rig of this name owns, whoever made it. What is already gone is no error; after one, the rest goes all the same.
pub fn reap(test: &str) -> Result<()> {
    let prefix = format!("sluice-{test}_");
    let netns: Vec<String> = names(Path::new("/run/netns")).into_iter().filter(|name| name.starts_with(&prefix)).collect();
    let mut result = cgroup::remove_named(&format!("sluice-{test}"));
    for name in &netns {
        for pid in ip(&["netns", "pids", name]).unwrap_or_default().split_whitespace() {
            // It may end by itself between the listing and the signal.
            let _ = pid.parse().map(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL));
        }
    }
    for folder in [pins(test), scratch(test)] {
        if folder.exists() {
            result = result.and(fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display())));
        }
    }
    for report in reports(test) {
        // The janitor of an interrupted run may be at it too.
        let _ = fs::remove_file(report);
    }
    for name in &netns {
        // The janitor of an interrupted run may be at it too.
        if let Err(error) = ip(&["netns", "del", name])
            && Path::new("/run/netns").join(name).exists()
        {
            result = result.and(Err(error));
        }
    }
    result
}

/// The janitor's whole life: waits for the end of `input`, then reaps, unless a byte came before it.
pub fn run_janitor(test: &str, input: &mut impl Read) -> Result<()> {
    let mut word = [0; 1];
    if input.read(&mut word)? == 0 { reap(test) } else { Ok(()) }
}

fn start_janitor(test: &str) -> Result<Child> {
    let task = serde_json::to_string(&Task::Janitor { test: test.to_owned() })?;
    // A process group of its own: Ctrl-C at the terminal must not reach it.
    Command::new(helper()?)
        .arg(task)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the janitor")
}

fn dismiss(mut janitor: Child) -> Result<()> {
    // The pipe is closed by the end of this block; a janitor that is gone already needs no word.
    let _ = janitor.stdin.take().map(|mut pipe| pipe.write_all(b"."));
    janitor.wait()?;
    Ok(())
}

fn lock(test: &str) -> Result<Flock<File>> {
    let path = std::env::temp_dir().join(format!("sluice-{test}.lock"));
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600).custom_flags(O_NOFOLLOW);
    let file = options.open(&path).with_context(|| format!("open {}; remove it if it is a link", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).with_context(|| format!("lock {}", path.display()))
}

fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    if mounts.lines().any(|line| line.split(' ').nth(1) == Some(BPFFS)) {
        return Ok(());
    }
    let status = Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]).status().context("start mount")?;
    if !status.success() {
        bail!("mount -t bpf bpf {BPFFS} failed: run as root, on a kernel with CONFIG_BPF_SYSCALL");
    }
    Ok(())
}

fn scratch(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("sluice-{test}"))
}

fn pins(test: &str) -> PathBuf {
    Path::new(BPFFS).join(format!("sluice-test-{test}"))
}

/// What the agents of a test reported, and their locks: a killed agent leaves both.
fn reports(test: &str) -> Vec<PathBuf> {
    let start = format!("sys.fs.bpf.sluice-test-{test}.");
    let folder = Path::new(REPORTS);
    names(folder).into_iter().filter(|name| name.starts_with(&start)).map(|name| folder.join(name)).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

//! Facts that stand in no map, written by the agent to a file beside them, so that the command line knows them while the
//! agent runs and after it died.
//!
//! The file is replaced as a whole: a reader sees one report or the next, never half of one. Its name is made from the pin
//! folder, which is what tells instances apart. A lock beside it says whether the writer lives; it ends with the process,
//! however that ends.

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Folder of reports and locks.
pub const RUN_DIR: &str = "/run/sluice";

/// What the agent knows beyond the maps.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of the agent.
    pub version: String,
    /// Its process id, in its own PID namespace.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// When this was written.
    pub written: Timestamp,
    /// The node it serves.
    pub node: String,
    /// The folder of the cgroup whose processes are served.
    pub cgroup: String,
    /// Where objects come from.
    pub source: Source,
    /// The prefixes that ClusterIPs are taken from.
    pub service_cidrs: ServiceCidrs,
    /// How long the oldest change has waited that is not in the tables, in milliseconds.
    pub lag_ms: u64,
    /// Where `/healthz` is, if anywhere.
    pub healthz: Option<String>,
    /// Where `/metrics` is, if anywhere.
    pub metrics: Option<String>,
    /// Objects, or parts of them, that were left out.
    pub rejections: Vec<Rejection>,
    /// Devices of the node, each with what was done about it and why.
    pub devices: Vec<Device>,
    /// What would break traffic or loses something; each has a name that metrics share.
    pub warnings: Vec<Warning>,
}

/// Where objects come from and how that goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The API server's URL or the folder of manifests.
    pub origin: String,
    /// Whether all watches run.
    pub connected: bool,
    /// Since when `connected` is what it is.
    pub since: Timestamp,
    /// When Services and EndpointSlices were listed in full (S11).
    pub synced: Option<Timestamp>,
    /// When an object last arrived.
    pub last_event: Option<Timestamp>,
    /// How the API lists each kind: streamed, paged, or absent if it has none.
    pub lists: BTreeMap<String, String>,
    /// What keeps it from seeing all there is; empty if nothing does.
    pub troubles: Vec<String>,
}

/// The prefixes that ClusterIPs are taken from (S26).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceCidrs {
    /// Whether ServiceCIDR objects say so; else it is the configuration.
    pub from_objects: bool,
    /// The prefixes in force.
    pub prefixes: Vec<String>,
}

/// An object, or part of one, that was left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Service, EndpointSlice, Node or ServiceCIDR.
    pub kind: String,
    /// Its namespace; empty for a Node or ServiceCIDR.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Service that it belongs to, or its own name if it is one.
    pub service: Option<String>,
    /// Why, in one word: the label of `sluice_rejected_objects`.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// One device of the node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Uplink, overlay, pod or none.
    pub edge: String,
    /// Why it is that.
    pub reason: String,
    /// What should be attached to it and could not be.
    pub failures: Vec<String>,
    /// What it can't have, and is served without.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Something that would break traffic or loses something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// The condition's name: the label of `sluice_degraded`.
    pub condition: String,
    /// What it means and what to do.
    pub message: String,
}

/// A report that can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Another agent has the lock.
    #[error("another agent runs on the pins in {bpffs}; stop it, or give this one another --bpffs and --cgroup")]
    Taken {
        /// The pin folder.
        bpffs: PathBuf,
    },
    /// The file system says no.
    #[error("{path}: {source}; make the folder {RUN_DIR} writable for the agent, in a pod by a hostPath volume")]
    Write {
        /// What was written.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is there and can't be read.
    #[error("{path}: {source}; run the command as root")]
    Read {
        /// What was read.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file is there and is no report.
    #[error("{path} is no report of this version ({source}); restart the agent to have it written anew")]
    Parse {
        /// What was read.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// Writes the report of one instance, and holds its lock.
#[derive(Debug)]
pub struct Publisher {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Publisher {
    /// Takes the lock of the instance that `bpffs` names.
    pub fn open(run_dir: &Path, bpffs: &Path) -> Result<Self, ReportError> {
        let (path, lock) = (path(run_dir, bpffs), lock_path(run_dir, bpffs));
        let failed = |source| ReportError::Write { path: lock.clone(), source };
        fs::create_dir_all(run_dir).map_err(failed)?;
        let file = File::options().create(true).truncate(false).write(true).open(&lock).map_err(failed)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err((_, nix::Error::EWOULDBLOCK)) => Err(ReportError::Taken { bpffs: bpffs.to_owned() }),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }

    /// Replaces the report.
    pub fn publish(&self, report: &Report) -> Result<(), ReportError> {
        let fresh = self.path.with_extension("new");
        let write = || {
            fs::write(&fresh, serde_json::to_vec(report)?)?;
            fs::rename(&fresh, &self.path)
        };
        write().map_err(|source| ReportError::Write { path: self.path.clone(), source })
    }
}

/// The report of the instance that `bpffs` names; `None` if it never wrote one.
pub fn read(run_dir: &Path, bpffs: &Path) -> Result<Option<Report>, ReportError> {
    let path = path(run_dir, bpffs);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| ReportError::Parse { path, source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read { path, source }),
    }
}

/// Whether the agent of that instance lives.
pub fn is_running(run_dir: &Path, bpffs: &Path) -> bool {
    let Ok(file) = File::open(lock_path(run_dir, bpffs)) else { return false };
    matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, nix::Error::EWOULDBLOCK)))
}

/// Removes the report of an instance that is cleaned up.
pub fn remove(run_dir: &Path, bpffs: &Path) -> Result<(), ReportError> {
    let path = path(run_dir, bpffs);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ReportError::Write { path, source }),
        _ => Ok(()),
    }
}

fn path(run_dir: &Path, bpffs: &Path) -> PathBuf {
    run_dir.join(format!("{}.json", instance(bpffs)))
}

fn lock_path(run_dir: &Path, bpffs: &Path) -> PathBuf {
    run_dir.join(format!("{}.lock", instance(bpffs)))
}

/// `/sys/fs/bpf/sluice` becomes `sys.fs.bpf.sluice`; what is not a letter, a digit, `-` or `_` becomes `%` and its code.
fn instance(bpffs: &Path) -> String {
    let mut name = String::new();
    for byte in bpffs.as_os_str().as_encoded_bytes().trim_ascii_end() {
        match byte {
            b'/' if name.is_empty() => {}
            b'/' => name.push('.'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(*byte)),
            _ => drop(write!(name, "%{byte:02x}")),
        }
    }
    name.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let at = Timestamp::from_second(1_000).unwrap();
        Report {
            version: "0.1.0".into(),
            pid: 1,
            started: at,
            written: at,
            node: "node-a".into(),
            cgroup: "/sys/fs/cgroup".into(),
            source: Source {
                origin: "/etc/sluice/manifests".into(),
                connected: true,
                since: at,
                synced: Some(at),
                last_event: None,
                lists: BTreeMap::new(),
                troubles: Vec::new(),
            },
            service_cidrs: ServiceCidrs::default(),
            lag_ms: 0,
            healthz: None,
            metrics: None,
            rejections: Vec::new(),
            devices: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn instances_have_files_of_their_own() {
        for (bpffs, name) in [
            ("/sys/fs/bpf/sluice", "sys.fs.bpf.sluice"),
            ("/sys/fs/bpf/sluice/", "sys.fs.bpf.sluice"),
            ("/sys/fs/bpf/a-b", "sys.fs.bpf.a-b"),
            ("/sys/fs/bpf/a/b", "sys.fs.bpf.a.b"),
            ("/mnt/a.b", "mnt.a%2eb"),
        ] {
            assert_eq!(instance(Path::new(bpffs)), name);
        }
    }

    #[test]
    fn a_report_outlives_its_writer_and_the_lock_does_not() {
        let (dir, bpffs) = (tempfile::tempdir().unwrap(), Path::new("/sys/fs/bpf/sluice"));
        assert_eq!(read(dir.path(), bpffs).unwrap(), None);
        assert!(!is_running(dir.path(), bpffs));
        let publisher = Publisher::open(dir.path(), bpffs).unwrap();
        publisher.publish(&report()).unwrap();
        assert!(is_running(dir.path(), bpffs));
        assert!(matches!(Publisher::open(dir.path(), bpffs), Err(ReportError::Taken { .. })));
        drop(publisher);
        assert!(!is_running(dir.path(), bpffs));
        assert_eq!(read(dir.path(), bpffs).unwrap(), Some(report()));
        remove(dir.path(), bpffs).unwrap();
        remove(dir.path(), bpffs).unwrap();
        assert_eq!(read(dir.path(), bpffs).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_no_report_says_so() {
        let (dir, bpffs) = (tempfile::tempdir().unwrap(), Path::new("/x"));
        fs::write(path(dir.path(), bpffs), "{}").unwrap();
        let error = read(dir.path(), bpffs).unwrap_err().to_string();
        assert!(error.contains("restart the agent"), "{error}");
    }
}

//! The socket hooks: which cgroup, and the eight links on it.

use super::links::Wanted;
use super::sys::{Target, XdpPlace};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Programs of the object and the hooks they are for (`enum bpf_attach_type`).
const HOOKS: [(&str, u32); 8] = [
    ("connect4", 10),
    ("connect6", 11),
    ("sendmsg4", 14),
    ("sendmsg6", 15),
    ("recvmsg4", 19),
    ("recvmsg6", 20),
    ("getpeername4", 29),
    ("getpeername6", 30),
];

/// Why there is no cgroup to attach to.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No mount of the second version.
    #[error(
        "no cgroup v2 file system is mounted: mount one (`mount -t cgroup2 none /sys/fs/cgroup/unified`) or name a folder \
         of one with --cgroup"
    )]
    NotMounted,
    /// The folder can't be opened.
    #[error("can't open the cgroup {path}: {source}; create it or name another with --cgroup")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The folder belongs to another file system.
    #[error("{0} is no folder of a cgroup v2 file system; those that are stand in `findmnt -t cgroup2`")]
    NotCgroup(PathBuf),
}

/// The cgroup whose processes are served.
pub struct Cgroup {
    /// Its folder.
    pub path: PathBuf,
    /// The open folder.
    pub folder: OwnedFd,
    /// The kernel's id of it.
    pub id: u64,
}

impl Cgroup {
    /// Opens a folder.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let failed = |source| CgroupError::Open { path: path.into(), source };
        let folder = std::fs::File::open(path).map_err(failed)?;
        let kind = nix::sys::statfs::fstatfs(&folder).map_err(|error| failed(error.into()))?.filesystem_type();
        if kind != nix::sys::statfs::CGROUP2_SUPER_MAGIC {
            return Err(CgroupError::NotCgroup(path.into()));
        }
        // On cgroup v2 a folder's inode number is the cgroup's id.
        let id = folder.metadata().map_err(failed)?.ino();
        Ok(Self { path: path.into(), folder: folder.into(), id })
    }

    /// The eight links.
    pub fn links(&self) -> impl Iterator<Item = Wanted> + '_ {
        HOOKS.iter().map(|(program, hook)| Wanted {
            pin: (*program).into(),
            program,
            target: Target::Cgroup { id: self.id, hook: *hook },
            place: XdpPlace::Native,
        })
    }
}

/// Whether a pin is one of the eight.
pub fn is_pin(name: &str) -> bool {
    HOOKS.iter().any(|(program, _)| *program == name)
}

/// Where cgroup v2 is mounted, by the text of /proc/self/mountinfo; of several the one that shows most (the shortest root).
pub fn find_mount(mountinfo: &str) -> Result<PathBuf, CgroupError> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            (after.split(' ').next()? == "cgroup2").then(|| (root.len(), PathBuf::from(unescape(point))))
        })
        .min_by_key(|(root, _)| *root)
        .map(|(_, point)| point)
        .ok_or(CgroupError::NotMounted)
}

/// Mount points in /proc carry blanks and the like as three octal digits.
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unified_and_hybrid() {
        let unified = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(find_mount(unified).unwrap(), Path::new("/sys/fs/cgroup"));
        let hybrid = "30 29 0:27 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n\
                      31 29 0:28 / /sys/fs/cgroup/cpu rw shared:6 - cgroup cgroup rw,cpu\n";
        assert_eq!(find_mount(hybrid).unwrap(), Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn the_mount_that_shows_most() {
        let both = "30 29 0:27 /kubepods /mnt/part rw - cgroup2 cgroup2 rw\n31 29 0:27 / /mnt/a\\040b rw - cgroup2 none rw\n";
        assert_eq!(find_mount(both).unwrap(), Path::new("/mnt/a b"));
    }

    #[test]
    fn none() {
        let error = find_mount("31 29 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n").unwrap_err();
        assert!(error.to_string().contains("--cgroup"), "{error}");
    }

    #[test]
    fn a_folder_that_is_no_cgroup() {
        assert!(matches!(Cgroup::open(Path::new("/proc")), Err(CgroupError::NotCgroup(_))));
        assert!(matches!(Cgroup::open(Path::new("/no/such")), Err(CgroupError::Open { .. })));
    }
}

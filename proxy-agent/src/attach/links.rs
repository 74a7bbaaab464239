//! The links of one instance, each pinned by name: swapped in place where one is there, made anew where not, removed where
//! nobody wants it.
//!
//! A hook that has a program is never without one in between: a link that fits is swapped, and one that does not fit
//! (its device or cgroup is gone, or another has its name) has nothing to interrupt.

use super::cgroup::Cgroup;
use super::sys::{Link, Target, XdpPlace};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A link that shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Name of the pin.
    pub pin: String,
    /// Name of the program in the object.
    pub program: &'static str,
    /// What it hangs on.
    pub target: Target,
    /// For XDP: where it runs.
    pub place: XdpPlace,
}

/// Why a link could not be made, swapped or removed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The folder of pins can't be read.
    #[error("can't read {path}: {source}; is a bpf file system mounted there?")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The object lacks the program.
    #[error("the eBPF object has no program {0}: build the binary again with `cargo xtask build`")]
    NoProgram(&'static str),
    /// The kernel refused to attach.
    #[error("can't attach {pin}: {source}{}", hint(source))]
    Attach {
        /// Name of the pin.
        pin: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused to exchange the program of a link.
    #[error("can't exchange the program of {pin}: {source}; `sluice cleanup` removes it, and a restart attaches anew")]
    Swap {
        /// Name of the pin.
        pin: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The link could not be pinned or its pin not be removed.
    #[error("can't pin or unpin {pin}: {source}; check that the bpf file system is writable")]
    Pin {
        /// Name of the pin.
        pin: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl LinkError {
    /// Whether the device, as it is, will never take the link: no native XDP, or an MTU or setting that its driver excludes.
    /// Anything else, above all a hook that another program holds, may pass.
    pub fn is_lasting(&self) -> bool {
        let lasting = [libc::EOPNOTSUPP, libc::ERANGE, libc::E2BIG, libc::EINVAL];
        matches!(self, Self::Attach { source, .. } if source.raw_os_error().is_some_and(|code| lasting.contains(&code)))
    }
}

/// What became of one link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Made.
    Attached,
    /// Its program was exchanged.
    Swapped,
}

/// Loaded programs by name.
pub type Programs = BTreeMap<String, OwnedFd>;

/// The links of one instance.
pub struct Links {
    folder: PathBuf,
    programs: Programs,
    cgroup: Cgroup,
    attached: BTreeMap<String, Wanted>,
}

impl Links {
    /// Links that are pinned in `folder`, for programs that are loaded.
    pub const fn new(folder: PathBuf, programs: Programs, cgroup: Cgroup) -> Self {
        Self { folder, programs, cgroup, attached: BTreeMap::new() }
    }

    /// The cgroup that is served.
    pub const fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// What this process has attached or swapped, by pin.
    pub const fn attached(&self) -> &BTreeMap<String, Wanted> {
        &self.attached
    }

    /// Whether the link is in place, made by this process or an earlier one.
    pub fn has(&self, wanted: &Wanted) -> bool {
        self.fitting(wanted).is_some()
    }

    /// Makes one link as wanted, unless it is. `None` if nothing was to be done.
    pub fn ensure(&mut self, wanted: &Wanted) -> Result<Option<Outcome>, LinkError> {
        if self.attached.get(&wanted.pin) == Some(wanted) {
            return Ok(None);
        }
        let outcome = if self.adopt(wanted)? {
            Outcome::Swapped
        } else {
            self.attach(wanted)?;
            Outcome::Attached
        };
        self.attached.insert(wanted.pin.clone(), wanted.clone());
        Ok(Some(outcome))
    }

    /// Removes every pinned link whose name is not among `keep`, and tells their names.
    pub fn remove_others(&mut self, keep: &dyn Fn(&str) -> bool) -> Result<Vec<String>, LinkError> {
        let mut removed = Vec::new();
        for pin in pins(&self.folder)?.into_iter().filter(|pin| !keep(pin)) {
            remove(&self.folder, &pin)?;
            self.attached.remove(&pin);
            removed.push(pin);
        }
        Ok(removed)
    }

    fn adopt(&self, wanted: &Wanted) -> Result<bool, LinkError> {
        if !self.folder.join(&wanted.pin).exists() {
            return Ok(false);
        }
        if let Some(link) = self.fitting(wanted) {
            match link.swap(self.program(wanted)?) {
                Ok(()) => return Ok(true),
                Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
                Err(source) => return Err(LinkError::Swap { pin: wanted.pin.clone(), source }),
            }
        }
        remove(&self.folder, &wanted.pin)?;
        Ok(false)
    }

    /// The link that is pinned under the name, if it hangs on what is wanted.
    fn fitting(&self, wanted: &Wanted) -> Option<Link> {
        let link = Link::open(&self.folder.join(&wanted.pin)).ok()?;
        link.target().is_ok_and(|target| target == wanted.target).then_some(link)
    }

    fn attach(&self, wanted: &Wanted) -> Result<(), LinkError> {
        let program = self.program(wanted)?;
        let link = match wanted.target {
            Target::Cgroup { hook, .. } => Link::cgroup(program, self.cgroup.folder.as_fd(), hook),
            Target::Tcx { device, egress } => Link::tcx(program, device, egress),
            Target::Xdp { device } => Link::xdp(program, device, wanted.place),
            Target::Foreign => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        };
        let link = link.map_err(|source| LinkError::Attach { pin: wanted.pin.clone(), source })?;
        link.pin(&self.folder.join(&wanted.pin)).map_err(|source| LinkError::Pin { pin: wanted.pin.clone(), source })
    }

    fn program(&self, wanted: &Wanted) -> Result<BorrowedFd<'_>, LinkError> {
        self.programs.get(wanted.program).map(AsFd::as_fd).ok_or(LinkError::NoProgram(wanted.program))
    }
}

/// Names of the links that are pinned in `folder`, sorted; none if the folder is missing.
pub fn pins(folder: &Path) -> Result<Vec<String>, LinkError> {
    let failed = |source| LinkError::Folder { path: folder.into(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).map_err(failed))
        .collect::<Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}

/// Takes a pinned link off its hook and removes the pin.
pub fn remove(folder: &Path, pin: &str) -> Result<(), LinkError> {
    let path = folder.join(pin);
    if let Ok(link) = Link::open(&path) {
        // Refused only if what it hung on is gone, and then there is nothing to detach.
        drop(link.detach());
    }
    std::fs::remove_file(&path).map_err(|source| LinkError::Pin { pin: pin.into(), source })
}

/// A device's part of a pin's name: bpffs reserves names with dots, and device names have no colons.
pub fn pin_name(hook: &str, device: &str) -> String {
    format!("{hook}-{}", device.replace('.', ":"))
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => "; another program holds the hook: remove it (`bpftool net`)",
        Some(libc::EOPNOTSUPP) => "; its driver has no native XDP: with --xdp auto tc serves the device alone",
        Some(libc::EPERM) => "; it takes CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON",
        Some(libc::ERANGE | libc::E2BIG) => {
            "; its MTU is too large for XDP: lower it, or let tc serve the device alone (--xdp auto)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again() {
        let attach = |code| LinkError::Attach { pin: "x".into(), source: io::Error::from_raw_os_error(code) };
        let lasting =
            [libc::EBUSY, libc::EEXIST, libc::ENOMEM, libc::EOPNOTSUPP, libc::ERANGE].map(|code| attach(code).is_lasting());
        assert_eq!(lasting, [false, false, false, true, true]);
    }

    #[test]
    fn names_without_dots() {
        assert_eq!(pin_name("edge_ingress", "bond0.100"), "edge_ingress-bond0:100");
    }
}

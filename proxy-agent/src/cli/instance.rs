//! The instance that a command looks at: its pinned tables, and what its agent reported. It may run or not.

use super::output::Format;
use crate::config::DEFAULT_BPFFS;
use crate::maps::{PinError, Reader};
use crate::serve::report::{self, RUN_DIR, Report};
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};

/// Flags of every command that looks.
#[derive(Args, Clone, Debug)]
pub struct LookArgs {
    /// Folder of pins that tells which instance is meant
    #[arg(long, value_name = "DIR", default_value = DEFAULT_BPFFS)]
    pub bpffs: PathBuf,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// Nothing is pinned.
    #[error("no Sluice instance at {}; is the agent running? Name its pin folder with --bpffs", .0.display())]
    NoInstance(PathBuf),
    /// The pin folder is not for everybody's eyes.
    #[error("can't look into {}: {source}; run the command as root", .path.display())]
    Denied {
        /// The pin folder.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The pins can't be used.
    #[error(transparent)]
    Pins(#[from] PinError),
}

impl LookError {
    /// The exit code, listed in docs/operations.md.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoInstance(_) => 3,
            Self::Denied { .. } => 1,
            Self::Pins(_) => 17,
        }
    }
}

/// An instance's tables.
pub fn tables(bpffs: &Path) -> Result<Reader, LookError> {
    let folder = bpffs.join("maps");
    match std::fs::read_dir(&folder).map(Iterator::count) {
        Ok(1..) => Ok(Reader::open(bpffs)?),
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(LookError::Denied { path: folder, source }),
        _ => Err(LookError::NoInstance(bpffs.to_owned())),
    }
}

/// What the instance's agent reported last. A report that can't be read is said on standard error, and looking goes on.
pub fn report(bpffs: &Path) -> Option<Report> {
    report::read(Path::new(RUN_DIR), bpffs).unwrap_or_else(|error| {
        eprintln!("sluice: {error}");
        None
    })
}

/// Whether the instance's agent runs.
pub fn is_running(bpffs: &Path) -> bool {
    report::is_running(Path::new(RUN_DIR), bpffs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_there() {
        let folder = tempfile::tempdir().unwrap();
        let error = tables(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is the agent running?") && error.contains("--bpffs"), "{error}");
        std::fs::create_dir(folder.path().join("maps")).unwrap();
        assert!(matches!(tables(folder.path()), Err(LookError::NoInstance(_))));
    }
}

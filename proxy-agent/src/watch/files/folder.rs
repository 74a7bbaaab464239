//! The folder's files: which count, and reading them.

use super::parse::{self, Defined, ParseError};
use crate::watch::trouble::{FileLine, FileTrouble};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What came of reading a file.
#[derive(Debug)]
pub enum Content {
    /// It defines this.
    Defined(Vec<Defined>),
    /// It is not there, or no file.
    Absent,
    /// It can't be used.
    Bad(FileTrouble),
}

/// Whether a file of this name is a manifest.
pub fn is_manifest(name: &str) -> bool {
    let known = Path::new(name).extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
    known && !name.starts_with('.')
}

/// The names of all manifests in the folder.
pub fn list(folder: &Path) -> io::Result<BTreeSet<String>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().filter(|name| is_manifest(name)).collect())
}

/// Reads a manifest.
pub fn read(path: &Path) -> Content {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Content::Absent,
        _ => {}
    }
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Absent,
        Err(error) => Content::Bad(FileTrouble::Unreadable(error.to_string())),
        Ok(bytes) if bytes.is_empty() => Content::Bad(FileTrouble::Empty),
        Ok(bytes) => parse_bytes(path, &bytes).map_or_else(|error| Content::Bad(broken(path, error)), Content::Defined),
    }
}

fn broken(path: &Path, ParseError { line, error }: ParseError) -> FileTrouble {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    FileTrouble::Broken { place: FileLine { file, line }, error }
}

/// Whether a file that was just created is complete as it is: a link has its content from the first moment, anything else gets
/// it from its writer.
pub fn is_complete_when_created(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink() || meta.nlink() > 1)
}

/// The folders, other than their own, in which the files behind these symbolic links stand.
pub fn behind_links(folder: &Path, names: &BTreeSet<String>) -> BTreeSet<PathBuf> {
    let links = names.iter().map(|name| folder.join(name)).filter(|path| path.is_symlink());
    links.filter_map(|path| Some(path.canonicalize().ok()?.parent()?.to_path_buf())).collect()
}

fn parse_bytes(path: &Path, bytes: &[u8]) -> Result<Vec<Defined>, ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64;
        ParseError { line, error: "not UTF-8".into() }
    })?;
    if path.extension().is_some_and(|end| end == "json") { parse::json(text) } else { parse::yaml(text) }
}

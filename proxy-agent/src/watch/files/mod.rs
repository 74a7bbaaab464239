//! Manifests: a folder of YAML or JSON files, followed by inotify.
//!
//! Invariant: a file that can't be read or parsed changes nothing. An object is defined by the first file, by name, that
//! defines it. Folders in the folder, and hidden files, are not read.

mod definitions;
mod folder;
mod follow;
pub mod parse;

#[cfg(test)]
mod follow_tests;

pub use follow::Files;

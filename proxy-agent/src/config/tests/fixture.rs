//! Flags as typed and files as written, for the other tests.

use crate::config::file::{self, File};
use crate::config::{ConfigError, Loaded, RunArgs};
use clap::Parser;
use std::path::Path;

#[derive(Parser)]
struct Run {
    #[command(flatten)]
    args: RunArgs,
}

/// The host that all of them run on.
pub const HOST: &str = "Node-1";

/// Flags.
pub fn args(flags: &str) -> RunArgs {
    Run::try_parse_from(std::iter::once("run").chain(flags.split_whitespace())).unwrap().args
}

/// A whole file.
pub fn file(text: &str) -> Result<File, ConfigError> {
    file::parse(Path::new("config.conf"), text)
}

/// A whole file without flags.
pub fn whole(text: &str) -> Loaded {
    args("").resolve(Some(&file(text).unwrap()), HOST).unwrap()
}

/// Flags over a KubeProxyConfiguration with these fields.
pub fn load(flags: &str, fields: &str) -> Result<Loaded, ConfigError> {
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    args(flags).resolve(Some(&file(&format!("{head}{fields}"))?), HOST)
}

/// Flags over a SluiceConfiguration with these fields.
pub fn own(flags: &str, fields: &str) -> Result<Loaded, ConfigError> {
    let head = "apiVersion: sluice.dev/v1alpha1\nkind: SluiceConfiguration\n";
    args(flags).resolve(Some(&file(&format!("{head}{fields}"))?), HOST)
}

/// Why flags or fields are refused.
pub fn refusal(flags: &str, fields: &str) -> String {
    load(flags, fields).unwrap_err().to_string()
}

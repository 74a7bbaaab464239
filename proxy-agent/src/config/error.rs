//! Why a configuration was refused.

use std::fmt;
use std::path::PathBuf;

/// Where a refused value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// A flag.
    Flag(&'static str),
    /// A field of the kube-proxy configuration file.
    Field(&'static str),
}

/// Why a configuration was refused.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("--config: can't read {}: {error}; name a readable kube-proxy configuration file", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The file is no YAML, or a field is unknown or of another type.
    #[error(
        "--config: {}, line {line}: {error}; correct or remove it, fields are those of kubeproxy.config.k8s.io/v1alpha1",
        .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 if unknown.
        line: u64,
        /// Why.
        error: String,
    },
    /// The file is of another kind or version.
    #[error(
        "--config: {}: apiVersion {version:?}, kind {kind:?}; write apiVersion: kubeproxy.config.k8s.io/v1alpha1 and kind: \
         KubeProxyConfiguration",
        .path.display()
    )]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: String,
        /// What it says.
        kind: String,
    },
    /// The value makes no sense.
    #[error("{setting}: {value:?} is not valid; write {instead}")]
    Invalid {
        /// Where it stands.
        setting: Setting,
        /// The value.
        value: String,
        /// What to write.
        instead: &'static str,
    },
    /// An item of `--devices` makes no sense.
    #[error("--devices: {0}")]
    Device(#[from] crate::attach::rules::RuleError),
    /// The manifests are not in a folder.
    #[error("--manifests: {} is not a folder; name an existing folder of YAML files", .0.display())]
    NoFolder(PathBuf),
    /// The host has no name.
    #[error("this host has no name; write --hostname-override with the name of the node's Node object")]
    NoHostname,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Field(name) => write!(f, "field {name} of the kube-proxy configuration"),
        }
    }
}

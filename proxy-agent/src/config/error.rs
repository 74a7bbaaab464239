//! Why a configuration was refused.

use std::fmt;
use std::path::PathBuf;

/// Where a refused value stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// A flag.
    Flag(&'static str),
    /// A field of the KubeProxyConfiguration.
    Field(&'static str),
    /// A field of the SluiceConfiguration.
    Own(&'static str),
}

/// Why a configuration was refused.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {}: {error}; name a readable configuration file", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The file is no YAML, or a field is unknown or of another type.
    #[error(
        "{}:{line}: {error}; correct or remove it, fields are those of kubeproxy.config.k8s.io/v1alpha1 and sluice.dev/v1alpha1",
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
    /// A document is of another kind or version.
    #[error(
        "{}:{line}: apiVersion {version:?}, kind {kind:?}; write apiVersion: kubeproxy.config.k8s.io/v1alpha1 and kind: \
         KubeProxyConfiguration, or apiVersion: sluice.dev/v1alpha1 and kind: SluiceConfiguration",
        .path.display()
    )]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What it says.
        version: String,
        /// What it says.
        kind: String,
    },
    /// There are two documents of a kind.
    #[error("{}:{line}: a second {kind}; leave one of them in the file", .path.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Which.
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
    #[error("{setting}: {error}")]
    Device {
        /// Where it stands.
        setting: Setting,
        /// What is wrong with it.
        error: crate::attach::rules::RuleError,
    },
    /// The manifests are not in a folder.
    #[error("{setting}: {} is not a folder; name an existing folder of YAML files", .path.display())]
    NoFolder {
        /// Where it stands.
        setting: Setting,
        /// The path.
        path: PathBuf,
    },
    /// The host has no name.
    #[error("this host has no name; write --hostname-override with the name of the node's Node object")]
    NoHostname,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Field(name) => write!(f, "field {name} of the KubeProxyConfiguration"),
            Self::Own(name) => write!(f, "field {name} of the SluiceConfiguration"),
        }
    }
}

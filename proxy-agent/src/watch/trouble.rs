//! What can keep a source from seeing all there is, each with what to do about it.

use super::objects::{Kind, ObjectName};
use std::fmt;
use std::path::PathBuf;

/// What the trouble is about. A subject has at most one trouble at a time.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// The connection to the API.
    Api,
    /// The watch of one kind.
    Watch(Kind),
    /// The folder of manifests.
    Folder(PathBuf),
    /// One manifest file.
    File(PathBuf),
    /// An object that several manifests define.
    Object(Kind, ObjectName),
}

impl Subject {
    /// Whether trouble with it keeps changes from being seen at all. A broken file or object concerns itself alone, and ServiceCIDRs
    /// can be done without.
    pub const fn is_connection(&self) -> bool {
        match self {
            Self::Watch(kind) => kind.is_vital(),
            Self::Api | Self::Folder(_) => true,
            Self::File(_) | Self::Object(..) => false,
        }
    }
}

impl Subject {
    /// The condition that trouble with it is, as metrics name it.
    pub const fn condition(&self) -> &'static str {
        match self {
            Self::Api | Self::Watch(_) => "api",
            Self::Folder(_) | Self::File(_) | Self::Object(..) => "manifests",
        }
    }
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Trouble {
    /// With the API.
    #[error(transparent)]
    Api(#[from] ApiTrouble),
    /// With manifest files.
    #[error(transparent)]
    File(#[from] FileTrouble),
}

/// What can be wrong with the API.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApiTrouble {
    /// The kubeconfig can't be used.
    #[error("can't use the kubeconfig {}: {error}; correct the file or name another one with --kubeconfig (retrying)", .path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// There are no credentials of a pod.
    #[error(
        "no in-cluster credentials: {0}; run in a pod with a ServiceAccount, or give --kubeconfig or --manifests (retrying)"
    )]
    InCluster(String),
    /// The credentials make no client.
    #[error("can't make a client of the credentials: {0}; correct certificates and keys in the kubeconfig (retrying)")]
    Client(String),
    /// The API server doesn't answer.
    #[error(
        "can't reach the API server to follow {what}: {error}; check that it runs and that its address is right (retrying, what is \
         programmed stays)"
    )]
    Unreachable {
        /// The resource.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// The credentials are refused.
    #[error("the API server refuses our credentials for {what}: {error}; renew the token or certificate (retrying)")]
    Unauthorized {
        /// The resource.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// The rights don't suffice.
    #[error(
        "no rights to list and watch {what}: {error}; give the agent's user the ClusterRole of deploy/base/rbac.yaml (retrying)"
    )]
    Forbidden {
        /// The resource.
        what: &'static str,
        /// Why.
        error: String,
    },
    /// Any other answer that is no success.
    #[error("the API server can't serve {what}: {error}; see its log (retrying)")]
    Refused {
        /// The resource.
        what: &'static str,
        /// Why.
        error: String,
    },
}

/// What can be wrong with manifest files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileTrouble {
    /// The folder can't be followed.
    #[error("can't follow the folder: {0}; make it a readable folder (retrying, what it defined stays in force)")]
    Folder(String),
    /// The file can't be read.
    #[error("can't be read: {0}; correct its permissions (what it defined stays in force)")]
    Unreadable(String),
    /// The file is empty, as in the middle of being written.
    #[error("is empty; write it again, or delete it to withdraw its objects (what it defined stays in force)")]
    Empty,
    /// The file is no valid manifest.
    #[error("{place}: {error}; correct it (what the file defined stays in force)")]
    Broken {
        /// Where.
        place: FileLine,
        /// Why.
        error: String,
    },
    /// Two manifests define one object.
    #[error("defined in {used} and again in {ignored}; the first by file name counts, remove the other")]
    Duplicate {
        /// The file and line that count.
        used: FileLine,
        /// The first that doesn't.
        ignored: FileLine,
    },
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileLine {
    /// The file's name in the folder.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
}

impl fmt::Display for FileLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("Kubernetes API"),
            Self::Watch(kind) => write!(f, "watch of {kind}s"),
            Self::Folder(path) => write!(f, "folder {}", path.display()),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Object(kind, name) => write!(f, "{kind} {name}"),
        }
    }
}

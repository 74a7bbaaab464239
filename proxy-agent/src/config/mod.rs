//! Configuration: [`RunArgs`] as typed, a file as written, [`Config`] as meant.
//!
//! A file has up to two documents: kube-proxy's own KubeProxyConfiguration, as it stands in a cluster's ConfigMap, and a
//! SluiceConfiguration. Flags are laid over their fields, then kube-proxy's defaults fill what is unset.
//!
//! Invariant: everything is validated in `resolve`, once; a `Config` that exists makes sense. Every refusal names the flag or
//! field and says what to write.

mod address;
mod args;
mod defaults;
mod effective;
mod error;
mod file;
mod hostname;
mod kube_proxy;
mod meaning;
mod named;
mod overrule;
mod quantity;
mod resolve;
mod settings;
mod sluice;
mod validate;

#[cfg(test)]
mod tests;

pub use args::{Algorithm, LogFormat, MasqueradeExternal, RunArgs, XdpMode};
pub use effective::{Effective, Row};
pub use error::{ConfigError, Setting};
pub use settings::{ClusterCidrs, Config, DEFAULT_BPFFS, Detector, Loaded, NodePortAddresses, Note, SourceConfig};

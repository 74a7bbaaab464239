//! Configuration: `Args` as typed, a kube-proxy configuration file as written, [`Config`] as meant.
//!
//! Invariant: everything is validated in `resolve`, once; a `Config` that exists makes sense. Every refusal names the flag or
//! field and says what to write.

mod address;
mod args;
mod error;
mod file;
mod hostname;
mod kube_proxy;
mod quantity;
mod resolve;
mod set_fields;
mod settings;

#[cfg(test)]
mod tests;

pub use args::{LogFormat, RunArgs, XdpMode};
pub use error::{ConfigError, Setting};
pub use settings::{ClusterCidrs, Config, DEFAULT_BPFFS, Loaded, NodePortAddresses, Note, SourceConfig};

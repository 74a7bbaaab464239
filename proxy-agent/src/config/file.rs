//! Reading a kube-proxy configuration file: types and fields are checked here, meaning in `resolve`.

use super::error::ConfigError;
use super::kube_proxy::KubeProxyConfiguration;
use super::set_fields::without_effect;
use std::path::Path;

/// A file as written.
#[derive(Clone, PartialEq, Debug)]
pub struct File {
    /// Its fields.
    pub fields: KubeProxyConfiguration,
    /// Those that are set and have no effect here.
    pub without_effect: Vec<String>,
}

/// Reads a file.
pub fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.into(), error: error.to_string() })?;
    parse(path, &text)
}

/// Parses a file's text; `path` is for messages.
pub fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    let fields: KubeProxyConfiguration = serde_saphyr::from_str(text).map_err(|error| malformed(path, &error))?;
    let value = serde_saphyr::from_str(text).map_err(|error| malformed(path, &error))?;
    if fields.api_version != "kubeproxy.config.k8s.io/v1alpha1" || fields.kind != "KubeProxyConfiguration" {
        return Err(ConfigError::OtherKind { path: path.into(), version: fields.api_version, kind: fields.kind });
    }
    Ok(File { fields, without_effect: without_effect(&value) })
}

fn malformed(path: &Path, error: &serde_saphyr::Error) -> ConfigError {
    let (line, error) = crate::watch::yaml_error(error);
    ConfigError::Malformed { path: path.into(), line, error }
}

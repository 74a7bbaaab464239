//! Reading a configuration file: documents, types and names of fields are checked here, meaning in `resolve`.
//!
//! Invariant: a document of each kind at most, in any order, and nothing else.

use super::error::ConfigError;
use super::kube_proxy::KubeProxyConfiguration;
use super::sluice::{self, SluiceConfiguration};
use crate::watch::yaml_documents;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

/// `apiVersion` of kube-proxy's document.
pub const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// `kind` of kube-proxy's document.
pub const KIND: &str = "KubeProxyConfiguration";

/// A file as written.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct File {
    /// kube-proxy's document.
    pub kube_proxy: Option<KubeProxyConfiguration>,
    /// Our own.
    pub sluice: Option<SluiceConfiguration>,
    /// Paths of the fields that kube-proxy's document sets to something, in alphabetical order.
    pub set: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

/// Reads a file.
pub fn read(path: &Path) -> Result<File, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ConfigError::Unreadable { path: path.into(), error: error.to_string() })?;
    parse(path, &text)
}

/// Parses a file's text; `path` is for messages.
pub fn parse(path: &Path, text: &str) -> Result<File, ConfigError> {
    let mut file = File::default();
    for (first, document) in yaml_documents(text) {
        let Some(head) = typed::<Option<Head>>(path, first, document)? else { continue };
        let (version, kind) = (head.api_version.unwrap_or_default(), head.kind.unwrap_or_default());
        let twice = match (version.as_str(), kind.as_str()) {
            (API_VERSION, KIND) => {
                let value: Value = typed(path, first, document)?;
                collect(String::new(), &value, &mut file.set);
                file.kube_proxy.replace(typed(path, first, document)?).is_some()
            }
            (sluice::API_VERSION, sluice::KIND) => file.sluice.replace(typed(path, first, document)?).is_some(),
            _ => return Err(ConfigError::OtherKind { path: path.into(), line: first, version, kind }),
        };
        if twice {
            return Err(ConfigError::Twice { path: path.into(), line: first, kind });
        }
    }
    if file.kube_proxy.is_none() && file.sluice.is_none() {
        return Err(ConfigError::OtherKind { path: path.into(), line: 1, version: String::new(), kind: String::new() });
    }
    Ok(file)
}

fn typed<T: DeserializeOwned>(path: &Path, first: u64, document: &str) -> Result<T, ConfigError> {
    serde_saphyr::from_str(document).map_err(|error| {
        let (line, error) = crate::watch::yaml_error(&error);
        ConfigError::Malformed { path: path.into(), line: first + line.max(1) - 1, error }
    })
}

fn collect(path: String, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                collect(format!("{path}{dot}{name}"), field, found);
            }
        }
        _ if is_unset(value) || ["apiVersion", "kind"].contains(&path.as_str()) => {}
        _ => found.push(path),
    }
}

/// What Go leaves out or fills with a default.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.as_str(), "" | "0" | "0s"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

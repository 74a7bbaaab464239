//! The node's name, found as kube-proxy does: the override or the host's name, trimmed and in lower case.

use super::error::ConfigError;

/// The node's name. `host` is the host's name.
pub fn node_name(given: Option<&str>, host: &str) -> Result<String, ConfigError> {
    let name = given.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(host.trim());
    if name.is_empty() { Err(ConfigError::NoHostname) } else { Ok(name.to_lowercase()) }
}

/// The host's name.
pub fn of_this_host() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

//! Who may talk to the API server: tokens, the key of service accounts, and kubeconfig files.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

/// One known client.
pub struct Client {
    /// What it calls itself in file names; also its token.
    pub name: &'static str,
    /// The user that the API server takes it for.
    pub user: &'static str,
    /// The user's groups.
    pub groups: &'static str,
}

/// Writes the file that tells the API server who has which token.
pub fn write_tokens(folder: &Path, clients: &[Client]) -> Result<PathBuf> {
    let path = folder.join("tokens.csv");
    let lines = clients.iter().map(|client| format!("{0}-token,{1},{0},\"{2}\"\n", client.name, client.user, client.groups));
    fs::write(&path, lines.collect::<String>())?;
    Ok(path)
}

/// Makes the key that signs the tokens of service accounts.
pub fn make_key(folder: &Path) -> Result<PathBuf> {
    let path = folder.join("service-accounts.key");
    let output = Command::new("openssl")
        .args(["genrsa", "-traditional", "-out"])
        .arg(&path)
        .arg("2048")
        .output()
        .context("start openssl: install openssl")?;
    if !output.status.success() {
        bail!("openssl genrsa: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(path)
}

/// Writes a client's kubeconfig. The API server makes its certificate at its first start, at `certificate`.
pub fn write_kubeconfig(folder: &Path, client: &Client, server: SocketAddr, certificate: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("{}.kubeconfig", client.name));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{server}"),
            "certificate-authority": certificate,
        }}],
        "users": [{"name": client.name, "user": {"token": format!("{}-token", client.name)}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": client.name}}],
        "current-context": "test",
    });
    fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    Ok(path)
}

/// The flag value that makes a server listen on every address of the family.
pub fn any_address(family_of: IpAddr) -> &'static str {
    if family_of.is_ipv4() { "0.0.0.0" } else { "::" }
}

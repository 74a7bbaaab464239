//! Who may talk to the API server: tokens, the key of service accounts, and kubeconfig files.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The file of the key that signs the tokens of service accounts.
pub const KEY: &str = "service-accounts.key";
/// Who signs them; also whom they are for.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// One known client.
pub struct Client {
    /// What it calls itself in file names.
    pub name: &'static str,
    /// The user that the API server takes it for.
    pub user: &'static str,
    /// The user's groups.
    pub groups: &'static str,
}

impl Client {
    /// Its token, which never expires.
    pub fn token(&self) -> String {
        format!("{}-token", self.name)
    }
}

/// Writes the file that tells the API server who has which token.
pub fn write_tokens(folder: &Path, clients: &[Client]) -> Result<PathBuf> {
    let path = folder.join("tokens.csv");
    let lines =
        clients.iter().map(|client| format!("{},{},{},\"{}\"\n", client.token(), client.user, client.name, client.groups));
    fs::write(&path, lines.collect::<String>())?;
    Ok(path)
}

/// Makes the key that signs the tokens of service accounts.
pub fn make_key(folder: &Path) -> Result<()> {
    let output = Command::new("openssl")
        .args(["genrsa", "-traditional", "-out"])
        .arg(folder.join(KEY))
        .arg("2048")
        .output()
        .context("start openssl: install openssl")?;
    if !output.status.success() {
        bail!("openssl genrsa: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The kubeconfig of a user with these credentials. The API server makes its certificate at its first start, at `certificate`.
pub fn kubeconfig(user: &Value, server: SocketAddr, certificate: &Path) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://{server}"),
            "certificate-authority": certificate,
        }}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user"}}],
        "current-context": "test",
    })
}

/// The flag value that makes a server listen on every address of the family.
pub fn any_address(family_of: IpAddr) -> &'static str {
    if family_of.is_ipv4() { "0.0.0.0" } else { "::" }
}

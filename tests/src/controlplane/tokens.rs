//! Tokens of the agent's ServiceAccount, signed here for any time, in a file that is renewed as a kubelet renews it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::controlplane::credentials::{ISSUER, KEY};
use crate::controlplane::plane::{AGENT_IDENTITY, ControlPlane};

/// How long the API server honours a token beyond its end, for clocks that differ: go-jose's default.
pub const LEEWAY: Duration = Duration::from_secs(60);
const ACCOUNT: &str = "/api/v1/namespaces/kube-system/serviceaccounts/sluice";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

impl ControlPlane {
    /// A folder as kubelets mount it into a pod of the agent's ServiceAccount: token, certificate and namespace.
    pub fn service_account(&self) -> Result<PathBuf> {
        let folder = self.folder().join("serviceaccount");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("token"), self.agent_token(SystemTime::now() + Duration::from_secs(3600))?)?;
        fs::copy(self.certificate(), folder.join("ca.crt"))?;
        fs::write(folder.join("namespace"), "kube-system")?;
        Ok(folder)
    }

    /// A token of the agent's ServiceAccount that says it ends then. deploy/ must be applied.
    pub fn agent_token(&self, ends: SystemTime) -> Result<String> {
        let account = self.call("GET", ACCOUNT, "")?;
        let now = seconds(SystemTime::now())?;
        let claims = json!({
            "iss": ISSUER, "aud": [ISSUER], "sub": AGENT_IDENTITY, "iat": now, "nbf": now, "exp": seconds(ends)?,
            "kubernetes.io": {
                "namespace": account["metadata"]["namespace"],
                "serviceaccount": {"name": account["metadata"]["name"], "uid": account["metadata"]["uid"]},
            },
        });
        let signed = format!("{}.{}", encoded(&json!({"alg": "RS256", "typ": "JWT"})), encoded(&claims));
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes())?)))
    }

    /// Puts a token into the agent's token file, in one step.
    pub fn renew_agent_token(&self, token: &str) -> Result<()> {
        let draft = self.folder().join("agent.token.new");
        fs::write(&draft, token)?;
        Ok(fs::rename(&draft, self.token_file())?)
    }

    /// Writes a kubeconfig that names the agent's token file.
    pub fn token_file_kubeconfig(&self) -> Result<PathBuf> {
        self.write_kubeconfig("agent-token-file", &json!({"tokenFile": self.token_file()}))
    }

    /// Whether the API server knows the bearer of a token.
    pub fn honours(&self, token: &str) -> Result<bool> {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let review = self.call("POST", REVIEWS, &review.to_string())?;
        Ok(review["status"]["authenticated"] == Value::Bool(true))
    }

    fn token_file(&self) -> PathBuf {
        self.folder().join("agent.token")
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let mut command = Command::new("openssl");
        command.args(["dgst", "-sha256", "-binary", "-sign"]).arg(self.folder().join(KEY));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut openssl = command.spawn().context("start openssl: install openssl")?;
        openssl.stdin.take().context("the input of openssl")?.write_all(text)?;
        let output = openssl.wait_with_output()?;
        ensure!(output.status.success(), "openssl dgst: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(output.stdout)
    }
}

fn encoded(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

fn seconds(time: SystemTime) -> Result<u64> {
    Ok(time.duration_since(UNIX_EPOCH)?.as_secs())
}

//! Credentials into a client.

use crate::watch::trouble::ApiTrouble;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// After how long a request without an answer has failed. A server may say nothing on a watch until it ends it, after 290 s: it
/// promises no bookmarks.
const SILENCE: Duration = Duration::from_secs(300);

/// Where the API server's address and the credentials are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// In the pod that the agent runs in.
    InCluster,
    /// In a kubeconfig.
    Kubeconfig(PathBuf),
    /// The address is given; credentials, if any, are in a kubeconfig.
    Master {
        /// The address.
        url: String,
        /// Where credentials are.
        kubeconfig: Option<PathBuf>,
    },
}

impl Access {
    /// A client. Files are read afresh each time, so that renewed credentials are found.
    pub async fn client(&self) -> Result<Client, ApiTrouble> {
        let mut config = match self {
            Self::InCluster => Config::incluster().map_err(|error| ApiTrouble::InCluster(chain(&error)))?,
            Self::Kubeconfig(path) => from_file(path).await?,
            Self::Master { url, kubeconfig } => at(url, kubeconfig.as_deref()).await?,
        };
        config.read_timeout = Some(SILENCE);
        config.reset_reader_on_write = true;
        // kube would repeat what is answered with 503 for five minutes by itself, before anybody learns of it.
        config.default_retry = false;
        make(config).await
    }
}

/// A credential plugin that the kubeconfig names runs here, and may take its time: not on the thread that all else runs on.
async fn make(config: Config) -> Result<Client, ApiTrouble> {
    match tokio::task::spawn_blocking(|| Client::try_from(config)).await {
        Ok(client) => client.map_err(|error| ApiTrouble::Client(chain(&error))),
        Err(error) => Err(ApiTrouble::Client(chain(&error))),
    }
}

async fn at(url: &str, kubeconfig: Option<&Path>) -> Result<Config, ApiTrouble> {
    let url = url.parse().map_err(|error| ApiTrouble::Client(chain(&error)))?;
    let Some(path) = kubeconfig else { return Ok(Config::new(url)) };
    let mut config = from_file(path).await?;
    config.cluster_url = url;
    Ok(config)
}

async fn from_file(path: &Path) -> Result<Config, ApiTrouble> {
    let refused = |error| ApiTrouble::Kubeconfig { path: path.into(), error: chain(&error) };
    let file = Kubeconfig::read_from(path).map_err(refused)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(refused)
}

/// An error and its causes, on one line, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

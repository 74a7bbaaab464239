//! What runs beside the loop. Each task has a name; one that ends while the agent runs ends the agent.

use super::error::AppError;
use crate::attach::netlink::{Network, Observation};
use crate::config::{Config, SourceConfig};
use crate::watch::{self, About, Batch, Gravity, Notice};
use std::future::Future;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Observations of the node that may wait; each holds everything, so the loop skips to the last.
const OBSERVATIONS: usize = 4;

/// How long an agent that ends waits for an Event to be sent.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Running tasks.
pub struct Tasks {
    set: JoinSet<&'static str>,
    stop: CancellationToken,
}

impl Tasks {
    /// None yet; all that are started end with `stop`.
    pub fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop }
    }

    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.set.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
            name
        });
    }

    /// Follows the source of objects that the configuration names.
    pub fn follow(&mut self, config: &Config) -> mpsc::Receiver<Batch> {
        let (events, source) = watch::start(&config.source, &config.node_name);
        self.spawn("source", async {
            if let Err(error) = source.await {
                tracing::error!("{error}");
            }
        });
        events
    }

    /// Sends notices to the cluster, if there is one.
    pub fn notify(&mut self, config: &Config) -> Option<mpsc::Sender<Notice>> {
        let (notices, task) = watch::notices(&config.source, &config.node_name)?;
        self.spawn("notices", task);
        Some(notices)
    }

    /// Observes the node.
    pub fn observe(&mut self, mut network: Network) -> mpsc::Receiver<Observation> {
        let (sender, observations) = mpsc::channel(OBSERVATIONS);
        self.spawn("network", async move {
            loop {
                match network.next().await {
                    Ok(observation) => {
                        if sender.send(observation).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::error!("{error}");
                        return;
                    }
                }
            }
        });
        observations
    }

    /// Waits until one ends by itself.
    pub async fn ended(&mut self) -> AppError {
        match self.set.join_next().await {
            Some(Ok(name)) => AppError::TaskEnded(name),
            // A task that panicked has said why on standard error.
            Some(Err(_)) => AppError::TaskEnded("panicked"),
            None => std::future::pending().await,
        }
    }
}

/// What the cluster is told of each start, in kube-proxy's word.
pub fn starting() -> Notice {
    let message = format!("sluice {} starts", env!("CARGO_PKG_VERSION"));
    Notice { about: About::Node, gravity: Gravity::Normal, reason: "Starting", action: "Start", message }
}

/// Tells the cluster why the agent ends, if that is possible soon.
pub async fn last_words(config: &Config, notice: Notice) {
    let Some((notices, task)) = watch::notices(&config.source, &config.node_name) else { return };
    // The channel is empty.
    let _ = notices.try_send(notice);
    drop(notices);
    let _ = tokio::time::timeout(LAST_WORDS, task).await;
}

/// How a source is called in the report.
pub fn origin(source: &SourceConfig) -> String {
    match source {
        SourceConfig::InCluster => "Kubernetes API (in-cluster)".into(),
        SourceConfig::Kubeconfig(path) => format!("Kubernetes API ({})", path.display()),
        SourceConfig::Master { url, .. } => format!("Kubernetes API ({url})"),
        SourceConfig::Manifests(folder) => std::path::absolute(folder).unwrap_or_else(|_| folder.clone()).display().to_string(),
    }
}

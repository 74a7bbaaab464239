//! The source that the configuration names.

use super::api::{Access, Api};
use super::event::{Event, Source};
use super::files::Files;
use crate::config::SourceConfig;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that may wait: the source stops reading before the agent's memory fills.
const WAITING: usize = 64;

/// Follows the source. What it sees comes out of the receiver; when that is dropped, the task ends.
pub fn start(source: &SourceConfig, node_name: &str) -> (mpsc::Receiver<Vec<Event>>, JoinHandle<()>) {
    let (events, receiver) = mpsc::channel(WAITING);
    let task = match source.clone() {
        SourceConfig::Manifests(folder) => tokio::spawn(Files::new(folder).follow(events)),
        SourceConfig::InCluster => tokio::spawn(Api::new(Access::InCluster, node_name.into()).follow(events)),
        SourceConfig::Kubeconfig(path) => tokio::spawn(Api::new(Access::Kubeconfig(path), node_name.into()).follow(events)),
        SourceConfig::Master { url, kubeconfig } => {
            tokio::spawn(Api::new(Access::Master { url, kubeconfig }, node_name.into()).follow(events))
        }
    };
    (receiver, task)
}

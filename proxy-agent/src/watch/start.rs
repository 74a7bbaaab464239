//! The source that the configuration names, and the way back to it.

use super::api::{self, Access, Api};
use super::event::{Batch, Source};
use super::files::Files;
use super::notice::Notice;
use crate::config::SourceConfig;
use std::future::Future;
use std::path::PathBuf;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Messages that may wait: the source stops reading before the agent's memory fills.
const WAITING: usize = 64;

/// Follows the source. What it sees comes out of the receiver; when that is dropped, the task ends.
pub fn start(source: &SourceConfig, node_name: &str) -> (mpsc::Receiver<Batch>, JoinHandle<()>) {
    let (events, receiver) = mpsc::channel(WAITING);
    let task = match Way::of(source) {
        Way::Api(access) => tokio::spawn(Api::new(access, node_name.into()).follow(events)),
        Way::Files(folder) => tokio::spawn(Files::new(folder).follow(events)),
    };
    (receiver, task)
}

/// Where notices go, and what sends them on; nothing if there is no API to send them to.
pub fn notices(source: &SourceConfig, node_name: &str) -> Option<(mpsc::Sender<Notice>, impl Future<Output = ()> + use<>)> {
    let Way::Api(access) = Way::of(source) else { return None };
    let (sender, receiver) = mpsc::channel(WAITING);
    Some((sender, api::send(access, node_name.into(), receiver)))
}

enum Way {
    Api(Access),
    Files(PathBuf),
}

impl Way {
    fn of(source: &SourceConfig) -> Self {
        match source.clone() {
            SourceConfig::InCluster => Self::Api(Access::InCluster),
            SourceConfig::Kubeconfig(path) => Self::Api(Access::Kubeconfig(path)),
            SourceConfig::Master { url, kubeconfig } => Self::Api(Access::Master { url, kubeconfig }),
            SourceConfig::Manifests(folder) => Self::Files(folder),
        }
    }
}

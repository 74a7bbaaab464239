//! A bare watch client: it reads slices as the agent does, and does nothing with them.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use kube::Client;
use kube::api::{WatchEvent, WatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use proxy_agent::watch::objects::EndpointSlice;
use sluice_tests::netns::Netns;

/// A running client; it ends with the bench.
pub struct Watcher {
    events: Receiver<(String, Instant)>,
}

impl Watcher {
    /// Starts watching all slices from a namespace; returns once the server has begun to answer.
    pub fn start(netns: &Netns, kubeconfig: &Path) -> Result<Self> {
        let (sender, events) = channel();
        let (netns, kubeconfig) = (netns.clone(), kubeconfig.to_owned());
        thread::spawn(move || {
            let outcome = netns.enter(|| watch(&kubeconfig, &sender)).and_then(|result| result);
            if let Err(error) = outcome {
                eprintln!("the bare watch client: {error:#}");
            }
        });
        let watcher = Self { events };
        watcher.wait_for("", Duration::from_secs(20)).context("the bare watch client has not begun")?;
        Ok(watcher)
    }

    /// When the event about this slice came.
    pub fn wait_for(&self, name: &str, limit: Duration) -> Result<Instant> {
        loop {
            match self.events.recv_timeout(limit) {
                Ok((seen, time)) if seen == name => return Ok(time),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => bail!("no event about {name} within {limit:?}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the bare watch client has ended: its error is above"),
            }
        }
    }
}

/// Sends the name of each slice that is added or changed; an empty one when the watch has begun.
fn watch(kubeconfig: &Path, sender: &Sender<(String, Instant)>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let client = Client::try_from(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)?;
        let api = kube::Api::<EndpointSlice>::all(client);
        let list = api.list_metadata(&kube::api::ListParams::default().limit(1)).await?;
        let version = list.metadata.resource_version.context("a list without a version")?;
        let mut stream = api.watch(&WatchParams::default().timeout(290), &version).await?.boxed();
        sender.send((String::new(), Instant::now()))?;
        while let Some(event) = stream.next().await {
            if let WatchEvent::Added(slice) | WatchEvent::Modified(slice) = event? {
                let name = slice.metadata.name.unwrap_or_default();
                if sender.send((name, Instant::now())).is_err() {
                    break;
                }
            }
        }
        Ok(())
    })
}

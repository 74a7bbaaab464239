//! Following the API.

use super::access::Access;
use super::backoff::Backoff;
use super::known::Known;
use super::trouble::{Remedy, diagnose};
use crate::watch::objects::{EndpointSlice, Kind, Node, Object, Service};
use crate::watch::{Event, Events, Source, Subject, Trouble};
use futures::{FutureExt, Stream, StreamExt};
use kube::api::WatchParams;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::io;
use std::time::Duration;

/// How long a page of a list may take: half as long again as a server gives itself for a request.
const PATIENCE: Duration = Duration::from_secs(90);
/// What is there already is sent in one message, up to this many events.
const BATCH: usize = 512;

/// The Kubernetes API.
#[derive(Clone, Debug)]
pub struct Api {
    access: Access,
    node_name: String,
    patience: Duration,
}

/// Why the following of a kind ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Nobody listens.
    Closed,
    /// The server wants a fresh list.
    List,
    /// The credentials must be read afresh.
    Renew,
}

impl Api {
    /// The API with these credentials, for the node of this name.
    pub const fn new(access: Access, node_name: String) -> Self {
        Self { access, node_name, patience: PATIENCE }
    }

    /// The same, with another patience for pages of lists.
    #[cfg(test)]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl Source for Api {
    async fn follow(self, events: Events) {
        let mut known = Kind::ALL.map(Known::new);
        let (mut backoff, mut troubled) = (Backoff::default(), false);
        loop {
            match self.access.client().await {
                Ok(client) => {
                    if std::mem::take(&mut troubled) {
                        backoff.reset();
                        say(&events, vec![Event::Recovered(Subject::Api)]).await;
                    }
                    if self.follow_all(client, &mut known, &events).await == End::Closed {
                        return;
                    }
                }
                Err(trouble) => {
                    troubled = true;
                    say(&events, vec![Event::Trouble(Subject::Api, trouble.into())]).await;
                }
            }
            if !wait(&events, backoff.next()).await {
                return;
            }
        }
    }
}

impl Api {
    /// Follows all kinds until one of them must begin again with other credentials.
    async fn follow_all(&self, client: Client, known: &mut [Known; 3], events: &Events) -> End {
        let [services, slices, node] = known;
        let own = format!("metadata.name={}", self.node_name);
        let of_services = watcher::Config::default().labels("!service.kubernetes.io/service-proxy-name");
        let of_slices = watcher::Config::default().labels("!service.kubernetes.io/headless");
        let of_node = watcher::Config::default().fields(&own);
        tokio::select! {
            end = self.follow_kind::<Service>(&client, of_services, services, events) => end,
            end = self.follow_kind::<EndpointSlice>(&client, of_slices, slices, events) => end,
            end = self.follow_kind::<Node>(&client, of_node, node, events) => end,
        }
    }

    /// Follows one kind; a list that the server wants is made here.
    async fn follow_kind<K>(&self, client: &Client, config: watcher::Config, known: &mut Known, events: &Events) -> End
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Into<Object> + Send + 'static,
    {
        let api = kube::Api::<K>::all(client.clone());
        let mut backoff = Backoff::default();
        loop {
            let stream = watcher(api.clone(), config.clone()).boxed();
            match watch(&api, stream, self.patience, known, &mut backoff, events).await {
                End::List => {}
                end => return end,
            }
        }
    }
}

async fn watch<K>(
    api: &kube::Api<K>,
    mut stream: impl Stream<Item = watcher::Result<watcher::Event<K>>> + Unpin,
    patience: Duration,
    known: &mut Known,
    backoff: &mut Backoff,
    events: &Events,
) -> End
where
    K: Clone + Debug + DeserializeOwned + Into<Object>,
{
    let subject = Subject::Watch(known.kind());
    loop {
        let first = tokio::select! {
            () = events.closed() => return End::Closed,
            item = stream.next() => item,
            () = answers(api, Backoff::default()), if known.troubled && known.is_complete() => None,
            () = tokio::time::sleep(patience), if !known.is_complete() => Some(Err(silence(patience))),
        };
        let (mut batch, error) = gather(first, &mut stream, known);
        let well = error.is_none() && known.is_complete();
        if well && std::mem::take(&mut known.troubled) {
            backoff.reset();
            batch.push(Event::Recovered(subject.clone()));
        }
        let Some(error) = error else {
            say(events, batch).await;
            continue;
        };
        known.troubled = true;
        let (trouble, remedy) = diagnose(known.kind(), &error);
        batch.push(Event::Trouble(subject.clone(), Trouble::Api(trouble)));
        say(events, batch).await;
        if !wait(events, backoff.next()).await {
            return End::Closed;
        }
        match remedy {
            Remedy::Retry => {}
            Remedy::List => return End::List,
            Remedy::Renew => return End::Renew,
        }
    }
}

/// A list that brings nothing.
fn silence(patience: Duration) -> watcher::Error {
    let text = format!("the list has brought nothing for {patience:?}");
    watcher::Error::InitialListFailed(kube::Error::Service(io::Error::new(io::ErrorKind::TimedOut, text).into()))
}

/// The watcher's events that are there already, and the error that ended them.
fn gather<K: Into<Object>>(
    mut next: Option<watcher::Result<watcher::Event<K>>>,
    stream: &mut (impl Stream<Item = watcher::Result<watcher::Event<K>>> + Unpin),
    known: &mut Known,
) -> (Vec<Event>, Option<watcher::Error>) {
    let mut batch = Vec::new();
    while let Some(item) = next {
        match item {
            Ok(event) => batch.extend(known.take(event)),
            Err(error) => return (batch, Some(error)),
        }
        next = if batch.len() < BATCH { stream.next().now_or_never().flatten() } else { None };
    }
    (batch, None)
}

/// Returns once the server serves a watch: a watcher that resumes says nothing until something changes. The watch is for an
/// object that does not exist, so that the answer is small.
async fn answers<K: Clone + Debug + DeserializeOwned>(api: &kube::Api<K>, mut backoff: Backoff) {
    let nothing = WatchParams::default().fields("metadata.name=sluice-asks-whether-you-answer").timeout(1);
    loop {
        tokio::time::sleep(backoff.next()).await;
        if api.watch(&nothing, "0").await.is_ok() {
            return;
        }
    }
}

async fn say(events: &Events, batch: Vec<Event>) {
    if !batch.is_empty() {
        // Nobody listens any more: the next wait for `closed` ends the following.
        drop(events.send(batch).await);
    }
}

/// Waits; false if nobody listens any more.
async fn wait(events: &Events, time: Duration) -> bool {
    tokio::select! {
        () = events.closed() => false,
        () = tokio::time::sleep(time) => true,
    }
}

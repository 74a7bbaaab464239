//! One attempt at a kind: a list where one is needed, then a watch, until something ends it.
//!
//! Invariant: a list is a consistent read. What was seen before is never contradicted by something older, whichever API server
//! answers and however far it lags behind.

use crate::watch::Listing;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::core::{Status, WatchEvent};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;

/// Objects in a page of a list.
const PAGE: u32 = 500;
/// Seconds until the server ends a watch: within the time that it gives any.
const WATCH: u32 = 290;
/// The version that asks for what is there at this moment.
const CONSISTENT: &str = "";
/// With this annotation a bookmark ends a streamed list.
const LIST_ENDS: &str = "k8s.io/initial-events-end";

/// Which objects of a kind.
#[derive(Clone, Default, Debug)]
pub struct Selectors {
    /// By labels.
    pub labels: Option<&'static str>,
    /// By fields.
    pub fields: Option<String>,
}

/// How an attempt begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// What is there comes with the watch.
    Streamed,
    /// What is there is asked for page by page, before the watch.
    Paged,
    /// What came up to this version is known.
    Resumed(String),
}

/// What an attempt sees.
#[derive(Debug)]
pub enum Seen<K> {
    /// A list begins, also one that had to begin again.
    Begins,
    /// An object of the list.
    Listed(K),
    /// An object that went while the list was streamed.
    Unlisted(K),
    /// The list is complete, as of this version.
    Complete(Listing, String),
    /// The server serves the watch.
    Serves,
    /// An object is new or changed.
    Changed(K),
    /// An object is gone.
    Gone(K),
    /// Nothing that matters happened up to this version.
    UpTo(String),
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server says no, or can't be asked.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// The server ended a streamed list before it was complete.
    #[error("the list was cut off")]
    Torn,
    /// The list says of no version.
    #[error("the list has no resourceVersion")]
    NoVersion,
    /// A list that brings nothing.
    #[error("the list has brought nothing for {0:?}")]
    Silent(Duration),
    /// A watch that nobody answers.
    #[error("no answer for {0:?}")]
    Unanswered(Duration),
}

impl From<Box<Status>> for Failure {
    fn from(status: Box<Status>) -> Self {
        Self::Api(kube::Error::Api(status))
    }
}

/// Where an attempt stands.
enum Place<K> {
    Start(Start),
    Asking,
    Streaming(Watch<K>),
    Page { next: Option<String>, limit: Option<u32> },
    Listed(String),
    Watching(Watch<K>),
}

type Watch<K> = BoxStream<'static, kube::Result<WatchEvent<K>>>;
type Step<K> = Result<Option<(Vec<Seen<K>>, Place<K>)>, Failure>;

/// Makes the attempt. It ends without an error when the server ends the watch, as it does after a while.
pub fn attempt<K>(api: Api<K>, selectors: Selectors, start: Start) -> impl Stream<Item = Result<Seen<K>, Failure>> + Send
where
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let asker = Asker { api, selectors };
    let steps = stream::try_unfold((asker, Place::Start(start)), async |(asker, place)| -> Result<_, Failure> {
        let step = asker.step(place).await?;
        Ok(step.map(|(seen, place)| (seen, (asker, place))))
    });
    steps.map_ok(|seen| stream::iter(seen.into_iter().map(Ok))).try_flatten()
}

struct Asker<K> {
    api: Api<K>,
    selectors: Selectors,
}

impl<K: Clone + Debug + DeserializeOwned + Send + 'static> Asker<K> {
    async fn step(&self, place: Place<K>) -> Step<K> {
        match place {
            Place::Start(Start::Streamed) => on(vec![Seen::Begins], Place::Asking),
            Place::Start(Start::Paged) => on(vec![Seen::Begins], Place::Page { next: None, limit: Some(PAGE) }),
            Place::Start(Start::Resumed(version)) => on(Vec::new(), Place::Listed(version)),
            Place::Asking => on(Vec::new(), Place::Streaming(self.watch(CONSISTENT, true).await?)),
            Place::Streaming(watch) => streaming(watch).await,
            Place::Page { next, limit } => self.page(next, limit).await,
            Place::Listed(version) => on(vec![Seen::Serves], Place::Watching(self.watch(&version, false).await?)),
            Place::Watching(watch) => watching(watch).await,
        }
    }

    async fn watch(&self, version: &str, send_initial_events: bool) -> Result<Watch<K>, Failure> {
        let params = WatchParams {
            label_selector: self.selectors.labels.map(str::to_owned),
            field_selector: self.selectors.fields.clone(),
            timeout: Some(WATCH),
            bookmarks: true,
            send_initial_events,
        };
        Ok(self.api.watch(&params, version).await?.boxed())
    }

    /// A list whose next page the server has forgotten is made again, in one piece.
    async fn page(&self, next: Option<String>, limit: Option<u32>) -> Step<K> {
        let params = ListParams {
            label_selector: self.selectors.labels.map(str::to_owned),
            field_selector: self.selectors.fields.clone(),
            limit,
            continue_token: next.clone(),
            ..ListParams::default()
        };
        let list = match self.api.list(&params).await {
            Err(kube::Error::Api(status)) if status.code == 410 && next.is_some() => {
                return on(vec![Seen::Begins], Place::Page { next: None, limit: None });
            }
            list => list?,
        };
        let mut seen: Vec<_> = list.items.into_iter().map(Seen::Listed).collect();
        if let Some(next) = list.metadata.continue_.filter(|next| !next.is_empty()) {
            return on(seen, Place::Page { next: Some(next), limit });
        }
        let version = list.metadata.resource_version.filter(|version| !version.is_empty()).ok_or(Failure::NoVersion)?;
        seen.push(Seen::Complete(Listing::Paged, version.clone()));
        on(seen, Place::Listed(version))
    }
}

/// What the server adds to a streamed list before it ends may be later than what it began with: objects may go.
async fn streaming<K>(mut watch: Watch<K>) -> Step<K> {
    let seen = match watch.next().await.ok_or(Failure::Torn)?? {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::Listed(object),
        WatchEvent::Deleted(object) => Seen::Unlisted(object),
        WatchEvent::Bookmark(mark) if mark.metadata.annotations.contains_key(LIST_ENDS) => {
            let complete = Seen::Complete(Listing::Streamed, mark.metadata.resource_version);
            return on(vec![complete, Seen::Serves], Place::Watching(watch));
        }
        WatchEvent::Bookmark(_) => return on(Vec::new(), Place::Streaming(watch)),
        WatchEvent::Error(status) => return Err(status.into()),
    };
    on(vec![seen], Place::Streaming(watch))
}

async fn watching<K>(mut watch: Watch<K>) -> Step<K> {
    let Some(event) = watch.next().await else { return Ok(None) };
    let seen = match event? {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Seen::Changed(object),
        WatchEvent::Deleted(object) => Seen::Gone(object),
        WatchEvent::Bookmark(mark) => Seen::UpTo(mark.metadata.resource_version),
        WatchEvent::Error(status) => return Err(status.into()),
    };
    on(vec![seen], Place::Watching(watch))
}

const fn on<K>(seen: Vec<Seen<K>>, place: Place<K>) -> Step<K> {
    Ok(Some((seen, place)))
}

//! Following the API: attempts at each kind, one after the other, and what is said of them.

use super::access::Access;
use super::attempt::{Failure, Seen, Selectors, attempt};
use super::backoff::{Backoff, shortened};
use super::known::Known;
use super::trouble::{Remedy, diagnose};
use crate::watch::objects::{EndpointSlice, Kind, Node, Object, Service, ServiceCidr};
use crate::watch::{Batch, Event, Events, Source, Subject};
use futures::{FutureExt, Stream, StreamExt};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What is there already is sent in one message, up to this many events.
const BATCH: usize = 512;
/// A watch that was well for so long had nothing to do with earlier failures.
const LASTING: Duration = Duration::from_secs(10);
/// Waits before a kind that can be done without is tried again, if the rights are missing or the API server does not have it.
const RARELY: Duration = Duration::from_secs(60);
const VERY_RARELY: Duration = Duration::from_secs(300);
/// So many failures of one sort in a row are no accident. If the server can't be reached, address, certificates and keys are read
/// afresh; a server that has just started may refuse what it will grant, but not so often.
const NO_ACCIDENT: u32 = 8;

/// How long a server may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a page of a list, or the next object of a streamed one: half as long again as it gives itself for a request.
    pub list: Duration,
    /// To begin a watch.
    pub answer: Duration,
    /// Without a word on a watch: bookmarks come each minute. Beyond that the connection may be dead, and the watch is taken up on
    /// another one.
    pub quiet: Duration,
}

const PATIENCE: Patience =
    Patience { list: Duration::from_secs(90), answer: Duration::from_secs(30), quiet: Duration::from_secs(80) };

/// The Kubernetes API.
#[derive(Clone, Debug)]
pub struct Api {
    access: Access,
    node_name: String,
    patience: Patience,
}

/// Why the following of a kind ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Nobody listens.
    Closed,
    /// The credentials must be read afresh.
    Renew,
}

/// How an attempt ended.
enum Outcome {
    /// Nobody listens.
    Closed,
    /// The watch may be taken up at once.
    Over,
    /// Something is wrong.
    Failed(Failure),
}

impl Api {
    /// The API with these credentials, for the node of this name.
    pub const fn new(access: Access, node_name: String) -> Self {
        Self { access, node_name, patience: PATIENCE }
    }

    /// The same, with another patience.
    #[cfg(test)]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }
}

impl Source for Api {
    async fn follow(self, events: Events) {
        let mut known = Kind::ALL.map(Known::new);
        let (mut backoff, mut troubled) = (Backoff::default(), false);
        loop {
            let began = Instant::now();
            match self.access.client().await {
                Ok(client) => {
                    if std::mem::take(&mut troubled) {
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
            if began.elapsed() >= LASTING {
                backoff.reset();
            }
            if !wait(&events, backoff.next()).await {
                return;
            }
        }
    }
}

impl Api {
    /// Follows all kinds until one of them must go on with other credentials.
    async fn follow_all(&self, client: Client, known: &mut [Known; 4], events: &Events) -> End {
        let [services, slices, node, cidrs] = known;
        let of_services = Selectors { labels: Some("!service.kubernetes.io/service-proxy-name"), fields: None };
        let of_slices = Selectors { labels: Some("!service.kubernetes.io/headless"), fields: None };
        let of_node = Selectors { labels: None, fields: Some(format!("metadata.name={}", self.node_name)) };
        tokio::select! {
            end = self.follow_kind::<Service>(&client, of_services, services, events) => end,
            end = self.follow_kind::<EndpointSlice>(&client, of_slices, slices, events) => end,
            end = self.follow_kind::<Node>(&client, of_node, node, events) => end,
            end = self.follow_kind::<ServiceCidr>(&client, Selectors::default(), cidrs, events) => end,
        }
    }

    /// Follows one kind, attempt after attempt.
    async fn follow_kind<K>(&self, client: &Client, selectors: Selectors, known: &mut Known, events: &Events) -> End
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Into<Object> + Send + 'static,
    {
        let api = kube::Api::<K>::all(client.clone());
        let (mut backoff, mut failures) = (Backoff::default(), Row::default());
        loop {
            let attempt = attempt(api.clone(), selectors.clone(), known.start()).boxed();
            let mut well_since = None;
            let outcome = self.attend(attempt, known, &mut well_since, events).await;
            let lasted = well_since.map_or(Duration::ZERO, |since: Instant| since.elapsed());
            if lasted >= LASTING {
                (backoff, failures) = (Backoff::default(), Row::default());
            }
            let (remedy, in_a_row) = match outcome {
                Outcome::Closed => return End::Closed,
                Outcome::Over if lasted >= LASTING => continue,
                Outcome::Over => failures.count(Remedy::Retry),
                Outcome::Failed(failure) => fail(known, &failure, &mut failures, events).await,
            };
            let pause = match remedy {
                Remedy::Page => continue,
                Remedy::Renew => return End::Renew,
                Remedy::Rarely if in_a_row >= NO_ACCIDENT => shortened(RARELY),
                Remedy::Absent => shortened(VERY_RARELY),
                Remedy::Reach | Remedy::Retry | Remedy::List | Remedy::Relist | Remedy::Rarely => backoff.next(),
            };
            if !wait(events, pause).await {
                return End::Closed;
            }
            if remedy == Remedy::Reach && in_a_row >= NO_ACCIDENT {
                return End::Renew;
            }
        }
    }

    /// Takes in what an attempt sees, until it ends.
    async fn attend<K: Resource + Into<Object>>(
        &self,
        mut attempt: impl Stream<Item = Result<Seen<K>, Failure>> + Unpin,
        known: &mut Known,
        well_since: &mut Option<Instant>,
        events: &Events,
    ) -> Outcome {
        loop {
            let first = tokio::select! {
                () = events.closed() => return Outcome::Closed,
                item = attempt.next() => item,
                outcome = self.lose_patience(known.is_complete(), well_since.is_some()) => return outcome,
            };
            let Gathered { mut batch, serves, outcome } = gather(first, &mut attempt, known);
            if serves && outcome.is_none() {
                well_since.get_or_insert_with(Instant::now);
                if std::mem::take(&mut known.troubled) {
                    batch.push(Event::Recovered(Subject::Watch(known.kind())));
                }
            }
            say(events, batch).await;
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    async fn lose_patience(&self, complete: bool, serves: bool) -> Outcome {
        let Patience { list, answer, quiet } = self.patience;
        let (time, outcome) = match (complete, serves) {
            (false, _) => (list, Outcome::Failed(Failure::Silent(list))),
            (true, false) => (answer, Outcome::Failed(Failure::Unanswered(answer))),
            (true, true) => (quiet, Outcome::Over),
        };
        sleep(time).await;
        outcome
    }
}

/// Failures of one sort, one after the other.
#[derive(Default)]
struct Row {
    last: Option<Remedy>,
    length: u32,
}

impl Row {
    /// With a failure more that has this remedy; how many there are.
    fn count(&mut self, remedy: Remedy) -> (Remedy, u32) {
        self.length = if self.last.replace(remedy) == Some(remedy) { self.length + 1 } else { 1 };
        (remedy, self.length)
    }
}

/// What was there already.
struct Gathered {
    batch: Vec<Event>,
    /// Whether the server was seen to serve the watch.
    serves: bool,
    outcome: Option<Outcome>,
}

fn gather<K: Resource + Into<Object>>(
    mut next: Option<Result<Seen<K>, Failure>>,
    attempt: &mut (impl Stream<Item = Result<Seen<K>, Failure>> + Unpin),
    known: &mut Known,
) -> Gathered {
    let (mut batch, mut serves) = (Vec::new(), false);
    loop {
        match next {
            Some(Ok(seen)) => {
                serves |= matches!(seen, Seen::Serves);
                batch.extend(known.take(seen));
            }
            Some(Err(failure)) => return Gathered { batch, serves, outcome: Some(Outcome::Failed(failure)) },
            None => return Gathered { batch, serves, outcome: Some(Outcome::Over) },
        }
        if batch.len() >= BATCH {
            return Gathered { batch, serves, outcome: None };
        }
        match attempt.next().now_or_never() {
            Some(item) => next = item,
            None => return Gathered { batch, serves, outcome: None },
        }
    }
}

/// Says what is wrong, unless nobody need know, and tells what to do and how often in a row it was done.
async fn fail(known: &mut Known, failure: &Failure, failures: &mut Row, events: &Events) -> (Remedy, u32) {
    let subject = Subject::Watch(known.kind());
    let (trouble, remedy) = diagnose(known.kind(), &known.start(), failure);
    known.failed(failure);
    let counted @ (_, in_a_row) = failures.count(remedy);
    match remedy {
        Remedy::Page => {
            tracing::debug!(kind = %known.kind(), "the API server does not stream lists: {failure}");
            known.refuse_streams();
        }
        Remedy::Absent => {
            let mut said = known.absent();
            if std::mem::take(&mut known.troubled) {
                said.push(Event::Recovered(subject));
            }
            say(events, said).await;
        }
        Remedy::Relist if in_a_row < NO_ACCIDENT => {
            tracing::debug!(kind = %known.kind(), "listing afresh: {failure}");
            known.forget_version();
        }
        Remedy::Reach | Remedy::Retry | Remedy::List | Remedy::Relist | Remedy::Renew | Remedy::Rarely => {
            if matches!(remedy, Remedy::List | Remedy::Relist) {
                known.forget_version();
            }
            known.troubled = true;
            say(events, vec![Event::Trouble(subject, trouble.into())]).await;
        }
    }
    counted
}

async fn say(events: &Events, batch: Vec<Event>) {
    if !batch.is_empty() {
        // Nobody listens any more: the next wait for `closed` ends the following.
        drop(events.send(Batch::just_came(batch)).await);
    }
}

/// Waits; false if nobody listens any more.
async fn wait(events: &Events, time: Duration) -> bool {
    tokio::select! {
        () = events.closed() => false,
        () = sleep(time) => true,
    }
}

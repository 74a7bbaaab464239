//! What a source says.

use super::objects::{Kind, Object, ObjectName};
use super::trouble::{Subject, Trouble};
use std::fmt;
use std::future::Future;
use std::time::Instant;
use tokio::sync::mpsc;

/// One thing that a source saw.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The object is new or changed.
    Apply(Box<Object>),
    /// The object is gone.
    Delete(Kind, ObjectName),
    /// The list of the kind that is complete was made like this.
    Listed(Kind, Listing),
    /// Every object of the kind has been delivered (S11); said again after each later list.
    Synced(Kind),
    /// Something keeps the source from seeing all there is; what it said before stays in force.
    Trouble(Subject, Trouble),
    /// The subject's trouble is over.
    Recovered(Subject),
}

/// How the objects of a kind were listed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Listing {
    /// Streamed ahead of the watch.
    Streamed,
    /// Page by page.
    Paged,
    /// Not at all: the API server has no such kind.
    Absent,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Streamed => "streamed",
            Self::Paged => "paged",
            Self::Absent => "absent",
        })
    }
}

impl From<Object> for Event {
    /// The object is new or changed.
    fn from(object: Object) -> Self {
        Self::Apply(Box::new(object))
    }
}

/// What belongs together and is put in force at once.
#[derive(Clone, PartialEq, Debug)]
pub struct Batch {
    /// When it came.
    pub came: Instant,
    /// In their order.
    pub events: Vec<Event>,
}

impl Batch {
    /// These events, which have just come.
    pub fn just_came(events: Vec<Event>) -> Self {
        Self { came: Instant::now(), events }
    }
}

/// Where a source sends what it sees.
pub type Events = mpsc::Sender<Batch>;

/// A source of truth.
pub trait Source: Send + 'static {
    /// Follows the objects until nobody listens any more.
    fn follow(self, events: Events) -> impl Future<Output = ()> + Send;
}

//! Which objects the API has, so that a new list says what vanished, and up to which version. Pure.

use super::attempt::{Failure, Seen, Start};
use crate::watch::objects::{Kind, Object, ObjectName};
use crate::watch::{Event, Listing};
use kube::Resource;
use std::collections::HashSet;

/// So many streamed lists may break off before one is asked for page by page.
const TEARS: u32 = 2;

/// The objects of one kind that were said to exist.
#[derive(Debug)]
pub struct Known {
    kind: Kind,
    names: HashSet<ObjectName>,
    /// What the list under way has brought.
    listed: HashSet<ObjectName>,
    /// Up to which version changes are seen; none before a list is complete.
    version: Option<String>,
    /// How many streamed lists broke off, one after the other.
    tears: u32,
    /// Whether the watch was said to be in trouble.
    pub troubled: bool,
}

impl Known {
    /// Nothing yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, names: HashSet::new(), listed: HashSet::new(), version: None, tears: 0, troubled: false }
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the last list is complete.
    pub const fn is_complete(&self) -> bool {
        self.version.is_some()
    }

    /// How the next attempt begins.
    pub fn start(&self) -> Start {
        match &self.version {
            Some(version) => Start::Resumed(version.clone()),
            None if self.tears < TEARS => Start::Streamed,
            None => Start::Paged,
        }
    }

    /// The server does not stream lists.
    pub const fn refuse_streams(&mut self) {
        self.tears = TEARS;
    }

    /// An attempt failed. Whether lists are streamed is remembered until the server is lost: another may do otherwise.
    pub fn failed(&mut self, failure: &Failure) {
        let streaming = self.start() == Start::Streamed;
        match failure {
            Failure::Silent(_) if streaming => self.refuse_streams(),
            Failure::Torn if streaming => self.tears += 1,
            Failure::Api(kube::Error::Api(_)) | Failure::NoVersion | Failure::Silent(_) | Failure::Torn => {}
            Failure::Api(_) if streaming && !self.listed.is_empty() => self.tears += 1,
            Failure::Api(_) | Failure::Unanswered(_) => self.tears = 0,
        }
    }

    /// The version is of no use to the server: a list must tell what there is.
    pub fn forget_version(&mut self) {
        self.version = None;
    }

    /// The server has no such kind. Objects that another one had stay.
    pub fn absent(&self) -> Vec<Event> {
        let listed = Event::Listed(self.kind, Listing::Absent);
        if self.names.is_empty() { vec![listed, Event::Synced(self.kind)] } else { vec![listed] }
    }

    /// What was seen means this.
    pub fn take<K: Resource + Into<Object>>(&mut self, seen: Seen<K>) -> Vec<Event> {
        match seen {
            Seen::Begins => {
                self.listed.clear();
                self.version = None;
                Vec::new()
            }
            Seen::Listed(object) => {
                let object = object.into();
                self.listed.insert(object.name());
                self.apply(object)
            }
            Seen::Unlisted(object) => {
                let name = object.into().name();
                self.listed.remove(&name);
                self.delete(name)
            }
            Seen::Complete(listing, version) => self.complete(listing, version),
            Seen::Serves => Vec::new(),
            Seen::Changed(object) => {
                self.reached(&object);
                self.apply(object.into())
            }
            Seen::Gone(object) => {
                self.reached(&object);
                self.delete(object.into().name())
            }
            Seen::UpTo(version) => {
                self.version = Some(version);
                Vec::new()
            }
        }
    }

    fn reached<K: Resource>(&mut self, object: &K) {
        let version = object.meta().resource_version.clone();
        self.version = version.filter(|version| !version.is_empty()).or_else(|| self.version.take());
    }

    fn apply(&mut self, object: Object) -> Vec<Event> {
        self.names.insert(object.name());
        vec![object.into()]
    }

    fn delete(&mut self, name: ObjectName) -> Vec<Event> {
        let known = self.names.remove(&name);
        known.then_some(Event::Delete(self.kind, name)).into_iter().collect()
    }

    fn complete(&mut self, listing: Listing, version: String) -> Vec<Event> {
        self.version = Some(version);
        if listing == Listing::Streamed {
            self.tears = 0;
        }
        let listed = std::mem::take(&mut self.listed);
        let gone = self.names.difference(&listed).map(|name| Event::Delete(self.kind, name.clone()));
        let events = gone.chain([Event::Listed(self.kind, listing), Event::Synced(self.kind)]).collect();
        self.names = listed;
        events
    }
}

//! Which objects the API has, so that a new list says what vanished. Pure.

use crate::watch::Event;
use crate::watch::objects::{Kind, Object, ObjectName};
use kube::runtime::watcher;
use std::collections::HashSet;

/// The objects of one kind that were said to exist.
#[derive(Debug)]
pub struct Known {
    kind: Kind,
    names: HashSet<ObjectName>,
    /// What the list under way has brought.
    listed: HashSet<ObjectName>,
    /// Whether a list is complete, and what changed since is seen.
    complete: bool,
    /// Whether the watch was said to be in trouble.
    pub troubled: bool,
}

impl Known {
    /// Nothing yet.
    pub fn new(kind: Kind) -> Self {
        Self { kind, names: HashSet::new(), listed: HashSet::new(), complete: false, troubled: false }
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the last list is complete.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the watcher's event means.
    pub fn take<K: Into<Object>>(&mut self, event: watcher::Event<K>) -> Vec<Event> {
        match event {
            watcher::Event::Init => {
                self.listed.clear();
                self.complete = false;
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                let object = object.into();
                self.listed.insert(object.name());
                self.apply(object)
            }
            watcher::Event::Apply(object) => self.apply(object.into()),
            watcher::Event::Delete(object) => {
                let name = object.into().name();
                self.names.remove(&name);
                vec![Event::Delete(self.kind, name)]
            }
            watcher::Event::InitDone => self.list_is_complete(),
        }
    }

    fn apply(&mut self, object: Object) -> Vec<Event> {
        self.names.insert(object.name());
        vec![object.into()]
    }

    fn list_is_complete(&mut self) -> Vec<Event> {
        self.complete = true;
        let listed = std::mem::take(&mut self.listed);
        let gone = self.names.difference(&listed).map(|name| Event::Delete(self.kind, name.clone()));
        let events = gone.chain([Event::Synced(self.kind)]).collect();
        self.names = listed;
        events
    }
}

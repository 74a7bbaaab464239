//! The faulty body of the trait `Source`: a cluster that changes, and a source that tells of it as badly as a source may. It repeats
//! itself, mixes the kinds, breaks lists off, misses what happens while it is away, tells of what nobody knew, and has troubles.
//! In the end it has told all.

use super::cidrs::service_cidr;
use super::objects::{node, service, slice};
use proptest::prelude::*;
use proptest::sample::Index;
use proxy_agent::watch::objects::{Kind, Object, ObjectName};
use proxy_agent::watch::{ApiTrouble, Batch, Event, Events, Listing, Source, Subject};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Objects by kind and name.
pub type Objects = BTreeMap<(Kind, ObjectName), Object>;

/// What happens in the cluster, or to the source.
#[derive(Clone, Debug)]
pub enum Step {
    /// An object is new or changed.
    Change(Box<Object>),
    /// The object at this place among those there are is deleted.
    Delete(Index),
    /// An object comes and goes so many times.
    Flap(Box<Object>, usize),
    /// So many of the events of a kind are delivered, in their order.
    Deliver(usize, usize),
    /// The last so many events of a kind are delivered once more, in their order.
    Repeat(usize, usize),
    /// An object that nobody knew is said to be gone.
    Unknown(usize),
    /// The watch of a kind is lost: what happens is not seen.
    Lose(usize),
    /// The kind is listed, until so many objects were told; by what is more than there are, in full.
    List(usize, usize),
    /// A trouble, or its end.
    Trouble(usize, bool),
}

/// Mostly what tells of changes.
pub fn step() -> impl Strategy<Value = Step> {
    let kind = || 0..Kind::ALL.len();
    let object = || {
        prop_oneof![5 => service().boxed(), 7 => slice().boxed(), 1 => node().boxed(), 1 => service_cidr().boxed()]
            .prop_map(Box::new)
    };
    prop_oneof![
        12 => object().prop_map(Step::Change),
        4 => any::<Index>().prop_map(Step::Delete),
        1 => (object(), 1..1000_usize).prop_map(|(object, times)| Step::Flap(object, times)),
        12 => (kind(), 1..8_usize).prop_map(|(kind, many)| Step::Deliver(kind, many)),
        2 => (kind(), 1..8_usize).prop_map(|(kind, many)| Step::Repeat(kind, many)),
        1 => kind().prop_map(Step::Unknown),
        1 => kind().prop_map(Step::Lose),
        3 => (kind(), 0..12_usize).prop_map(|(kind, many)| Step::List(kind, many)),
        1 => (kind(), any::<bool>()).prop_map(|(kind, begins)| Step::Trouble(kind, begins)),
    ]
}

/// The source.
#[derive(Debug)]
pub struct Faulty {
    steps: Vec<Step>,
    pub objects: Objects,
    watches: BTreeMap<Kind, Watch>,
}

/// What is known of one kind where the events arrive.
#[derive(Debug, Default)]
struct Watch {
    lost: bool,
    /// What happened and was not delivered.
    waiting: VecDeque<Event>,
    /// What was delivered since the last list, last of all the latest.
    delivered: Vec<Event>,
    /// Objects that were said to exist.
    said: BTreeSet<ObjectName>,
}

impl Faulty {
    /// A source to which this happens.
    pub fn new(steps: Vec<Step>) -> Self {
        let watches = Kind::ALL.map(|kind| (kind, Watch::default())).into();
        Self { steps, objects: Objects::new(), watches }
    }

    /// Lets a step happen and returns what is said of it.
    pub fn take(&mut self, step: Step) -> Vec<Event> {
        match step {
            Step::Change(object) => {
                self.change(*object);
                Vec::new()
            }
            Step::Delete(index) => {
                let known = self.objects.keys().cloned().collect::<Vec<_>>();
                if !known.is_empty() {
                    self.delete(index.get(&known).clone());
                }
                Vec::new()
            }
            Step::Flap(object, times) => {
                let (kind, id) = (object.kind(), (object.kind(), object.name()));
                for _ in 0..times {
                    self.change((*object).clone());
                    self.delete(id.clone());
                }
                self.watch(kind).deliver(usize::MAX)
            }
            Step::Deliver(kind, many) => self.watch(Kind::ALL[kind]).deliver(many),
            Step::Repeat(kind, many) => self.watch(Kind::ALL[kind]).repeat(many),
            Step::Unknown(kind) => vec![Event::Delete(Kind::ALL[kind], ObjectName::new("n", "never-there"))],
            Step::Lose(kind) => {
                let watch = self.watch(Kind::ALL[kind]);
                watch.lost = true;
                watch.waiting.clear();
                Vec::new()
            }
            Step::List(kind, many) => self.list(Kind::ALL[kind], many),
            Step::Trouble(kind, begins) => vec![trouble(Kind::ALL[kind], begins)],
        }
    }

    /// Tells all, kind after kind: the watches are well again.
    pub fn tell_all(&mut self) -> Vec<Event> {
        Kind::ALL.into_iter().flat_map(|kind| self.list(kind, usize::MAX).into_iter().chain([trouble(kind, false)])).collect()
    }

    /// Nothing was said to anybody yet.
    pub fn forget(&mut self) {
        self.watches = Kind::ALL.map(|kind| (kind, Watch { lost: true, ..Watch::default() })).into();
    }

    fn watch(&mut self, kind: Kind) -> &mut Watch {
        self.watches.entry(kind).or_default()
    }

    fn change(&mut self, object: Object) {
        let kind = object.kind();
        self.objects.insert((kind, object.name()), object.clone());
        self.watch(kind).happened(object.into());
    }

    fn delete(&mut self, id: (Kind, ObjectName)) {
        self.objects.remove(&id);
        self.watch(id.0).happened(Event::Delete(id.0, id.1));
    }

    fn list(&mut self, kind: Kind, many: usize) -> Vec<Event> {
        let present: Vec<Object> = self.objects.values().filter(|object| object.kind() == kind).rev().cloned().collect();
        let watch = self.watch(kind);
        watch.waiting.clear();
        watch.delivered.clear();
        watch.said.extend(present.iter().take(many).map(Object::name));
        let mut events: Vec<Event> = present.iter().take(many).cloned().map(Event::from).collect();
        watch.lost = many <= present.len();
        if !watch.lost {
            let names: BTreeSet<_> = present.iter().map(Object::name).collect();
            events.extend(watch.said.difference(&names).map(|name| Event::Delete(kind, name.clone())));
            events.extend([Event::Listed(kind, Listing::Paged), Event::Synced(kind)]);
            watch.said = names;
        }
        events
    }
}

impl Watch {
    fn happened(&mut self, event: Event) {
        if !self.lost {
            self.waiting.push_back(event);
        }
    }

    fn deliver(&mut self, many: usize) -> Vec<Event> {
        let events: Vec<Event> = self.waiting.drain(..many.min(self.waiting.len())).collect();
        for event in &events {
            match event {
                Event::Apply(object) => drop(self.said.insert(object.name())),
                Event::Delete(_, name) => drop(self.said.remove(name)),
                _ => {}
            }
        }
        self.delivered.extend(events.iter().cloned());
        events
    }

    fn repeat(&self, many: usize) -> Vec<Event> {
        self.delivered[self.delivered.len().saturating_sub(many)..].to_vec()
    }
}

impl Source for Faulty {
    async fn follow(mut self, events: Events) {
        let steps = std::mem::take(&mut self.steps);
        for step in steps {
            let said = self.take(step);
            if !said.is_empty() && events.send(Batch::just_came(said)).await.is_err() {
                return;
            }
        }
        let said = self.tell_all();
        // Who listens has all that there is to hear.
        drop(events.send(Batch::just_came(said)).await);
    }
}

fn trouble(kind: Kind, begins: bool) -> Event {
    let subject = Subject::Watch(kind);
    let lost = ApiTrouble::Unreachable { what: kind.plural(), error: "told to".into() };
    if begins { Event::Trouble(subject, lost.into()) } else { Event::Recovered(subject) }
}

//! Sources and tables that fail at once, in random sequences: whatever happens on the way, nothing panics, and once the source has told
//! all and the tables take what they are given, the table is the one that a compile from nothing gives and the maps hold it.

#[path = "random/cidrs.rs"]
mod cidrs;
#[path = "random/held.rs"]
mod held;
#[path = "random/objects.rs"]
mod objects;
#[path = "random/source.rs"]
mod source;

use held::ROOMY;
use nix::errno::Errno;
use proptest::prelude::*;
use proxy_agent::control::Control;
use proxy_agent::maps::{FaultyMaps, MemoryMaps};
use proxy_agent::sync::Sync;
use proxy_agent::table::{Change, PortName, WantedService};
use proxy_agent::watch::{Event, Source};
use source::{Faulty, Objects, Step, step};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Grace periods that end between two looks at the tables.
const GRACES: usize = 4;

type Table = BTreeMap<PortName, WantedService>;

/// An agent between a source and tables: what `app` does with events, without the node.
struct Agent {
    control: Control,
    sync: Sync<FaultyMaps<MemoryMaps>>,
    /// What the changes that came out amount to.
    table: Table,
    settled: bool,
    /// Of so many entries of hash tables the kernel takes one fewer; 0 takes all.
    refuses: Arc<AtomicU64>,
}

impl Agent {
    fn start(maps: MemoryMaps, refuses: u64) -> Self {
        let refuses = Arc::new(AtomicU64::new(refuses));
        let (asked, one_of) = (refuses.clone(), refuses.swap(0, Ordering::Relaxed));
        let maps = FaultyMaps::new(maps).refusing(move |_, tried| {
            let one_of = asked.load(Ordering::Relaxed);
            (one_of > 0 && (tried * 7919).is_multiple_of(one_of)).then_some(Errno::ENOMEM)
        });
        // An agent that can't take over the tables does not start.
        let (sync, _) = Sync::adopt(maps).unwrap();
        refuses.store(one_of, Ordering::Relaxed);
        Self { control: Control::new("node-1"), sync, table: Table::new(), settled: false, refuses }
    }

    /// Another agent takes over the tables; what it knew of the cluster is gone.
    fn restart(self) -> Self {
        let refuses = self.refuses.load(Ordering::Relaxed);
        Self::start(self.sync.into_maps().into_inner(), refuses)
    }

    fn on_events(&mut self, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.control.on_event(event, Instant::now()));
        if !self.control.synced() {
            assert_eq!(self.control.take_changes(), [], "S11");
            return;
        }
        let changes = self.control.take_changes();
        changes.iter().cloned().for_each(|change| put(&mut self.table, change));
        if std::mem::replace(&mut self.settled, true) {
            self.sync.apply(changes);
        } else {
            self.sync.settle(self.control.table().map(Change::Set).collect());
        }
    }

    fn tend(&mut self) {
        self.sync.retry();
        // What is refused retires what was prepared for it, and is tried again when that is free: at the pace of grace periods.
        for _ in 0..GRACES {
            let Some(token) = self.sync.retired_pending() else { break };
            self.sync.grace_ended(token);
        }
    }

    /// The tables take everything; then table and maps are right.
    fn check(&mut self, objects: &Objects) {
        self.refuses.store(0, Ordering::Relaxed);
        for _ in 0..4 {
            self.tend();
        }
        let (fresh, wanted) = from_nothing(objects);
        assert_eq!(self.table, wanted);
        assert_eq!(self.control.rejections(), fresh.rejections());
        assert_eq!(self.control.table().map(|service| service.name).collect::<Vec<_>>().len(), wanted.len());
        assert!(self.control.troubles().is_empty());
        assert_eq!(self.sync.rejected().collect::<Vec<_>>(), []);
        assert_eq!(held::held(self.sync.maps()), wanted.into_iter().map(ageless).collect());
    }
}

fn from_nothing(objects: &Objects) -> (Control, Table) {
    let mut source = Faulty::new(Vec::new());
    source.objects = objects.clone();
    let mut control = Control::new("node-1");
    source.tell_all().into_iter().for_each(|event| control.on_event(event, Instant::now()));
    let mut table = Table::new();
    control.take_changes().into_iter().for_each(|change| put(&mut table, change));
    (control, table)
}

/// Puts a change in force; it must make a difference.
fn put(table: &mut Table, change: Change) {
    match change {
        Change::Set(service) => {
            let before = table.insert(service.name.clone(), service.clone());
            assert_ne!(before, Some(service));
        }
        Change::Remove(name) => assert!(table.remove(&name).is_some(), "{name:?}"),
    }
}

/// The maps have nothing of a Service's age.
fn ageless((name, service): (PortName, WantedService)) -> (PortName, WantedService) {
    let age = WantedService::new(name.clone(), Vec::new(), Vec::new()).age;
    (name, WantedService { age, ..service })
}

/// One step in so many is followed by the death of the agent.
fn faults() -> impl Strategy<Value = (Vec<(Step, u8)>, u64)> {
    (prop::collection::vec((step(), 0..40_u8), 1..200), prop_oneof![Just(0_u64), 2..40_u64])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_is_lost_whatever_fails((steps, refuses) in faults()) {
        let mut source = Faulty::new(Vec::new());
        let mut agent = Agent::start(MemoryMaps::new(ROOMY), refuses);
        for (step, then) in steps {
            agent.on_events(source.take(step));
            match then {
                0 => {
                    agent = agent.restart();
                    source.forget();
                }
                1 => {
                    agent.on_events(source.tell_all());
                    agent.check(&source.objects);
                    agent.refuses.store(refuses, Ordering::Relaxed);
                }
                2..10 => agent.tend(),
                _ => {}
            }
        }
        agent.on_events(source.tell_all());
        agent.check(&source.objects);
    }

    #[test]
    fn a_source_that_fails_on_its_own_is_followed_to_the_end(steps in prop::collection::vec(step(), 1..200)) {
        let mut told = Faulty::new(Vec::new());
        steps.iter().cloned().for_each(|step| drop(told.take(step)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, mut events) = tokio::sync::mpsc::channel(4);
            tokio::spawn(Faulty::new(steps).follow(sender));
            let mut agent = Agent::start(MemoryMaps::new(ROOMY), 5);
            while let Some(batch) = events.recv().await {
                agent.on_events(batch.events);
            }
            agent.check(&told.objects);
        });
    }
}

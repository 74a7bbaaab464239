//! An agent that is killed at any operation, and the next one: programs never see half a change, nothing is lost, nothing leaks.

use super::model::*;
use crate::maps::{FaultyMaps, MemoryMaps, Read};
use crate::sync::Sync;
use crate::table::{Change, PortName, WantedService};
use ipnet::IpNet;
use proptest::prelude::*;
use proxy_common::abi::{Addr, BackendId, BackendState, Descriptor, FrontendKey, RangeSet, ServiceFlags, ServiceId, SlotRange};
use std::collections::{BTreeMap, BTreeSet};

/// What a program finds under a frontend: the addresses it chooses from, of both sets, flags, and whom it lets in.
type Seen = Option<Sets>;
type Sets = (BTreeSet<Addr>, BTreeSet<Addr>, ServiceFlags, Option<BTreeSet<IpNet>>);

fn seen(maps: &MemoryMaps, key: &FrontendKey) -> Seen {
    let frontend = maps.frontend(key)?;
    let descriptor = maps.descriptor(maps.service(frontend.service).descriptor().expect("a frontend leads to a service"));
    let set = |range: SlotRange, state| {
        (range.first..range.first + range.count).map(|slot| chosen(maps, maps.slot(slot), state)).collect()
    };
    let (cluster, local) = (BackendState::IN_CLUSTER, BackendState::IN_LOCAL);
    Some((set(descriptor.cluster, cluster), set(descriptor.local, local), descriptor.flags, sources(maps, descriptor.sources)))
}

/// Whom a set lets in.
fn sources(maps: &MemoryMaps, set: RangeSet) -> Option<BTreeSet<IpNet>> {
    let ranges = maps.source_ranges().expect("memory does not fail").into_iter();
    let numbers = ranges.filter(|range| range.set() == set).map(|held| {
        (0..4).map(range).find(|net| crate::maps::source_range(set, *net) == held).expect("a range of the model's")
    });
    (set != RangeSet::NONE).then(|| numbers.collect())
}

fn chosen(maps: &MemoryMaps, id: BackendId, set: BackendState) -> Addr {
    let (backend, state) = (maps.backend(id), maps.backend_state(id));
    assert_ne!(backend.generation.0, 0, "{:?} is chosen and gone", backend.addr);
    assert!(state.has(BackendState::SERVING.with(set)), "{:?} is chosen and not serving", backend.addr);
    backend.addr
}

fn sets(table: &Table) -> BTreeMap<PortName, Sets> {
    let set = |wanted: &WantedService, set| wanted.backends.iter().filter(|b| b.state.has(set)).map(|b| b.addr).collect();
    let sets = |wanted: &WantedService| {
        (
            set(wanted, BackendState::IN_CLUSTER),
            set(wanted, BackendState::IN_LOCAL),
            wanted.flags,
            wanted.sources.clone().map(BTreeSet::from_iter),
        )
    };
    table.iter().map(|(name, wanted)| (name.clone(), sets(wanted))).collect()
}

fn owner(table: &Table, key: &FrontendKey) -> Option<PortName> {
    table.values().find(|wanted| wanted.frontends.iter().any(|(held, _)| held == key)).map(|wanted| wanted.name.clone())
}

/// Each frontend leads to one whole set: of its old or its new service, as it was or as it shall be. A load balancer's address
/// that a service gives up is never there with other ranges than it had, and may be gone before another service has it.
fn expect_whole(maps: &MemoryMaps, before: &Table, after: &Table) {
    let keys = before.values().chain(after.values()).flat_map(|wanted| wanted.frontends.iter().map(|(key, _)| *key));
    let (old, new) = (sets(before), sets(after));
    for key in keys.collect::<BTreeSet<_>>() {
        let owners = [owner(before, &key), owner(after, &key)];
        let mut allowed: Vec<Seen> = owners
            .iter()
            .flat_map(|owner| match owner {
                Some(owner) => [old.get(owner), new.get(owner)].into_iter().flatten().cloned().map(Some).collect(),
                None => vec![None],
            })
            .collect();
        if let Some(closed) = closed(before, after, &new, &key) {
            allowed.retain(|seen| seen.as_ref() != Some(closed));
            allowed.push(None);
        }
        let seen = seen(maps, &key);
        assert!(allowed.contains(&seen), "{key:?} leads to {seen:?}, none of {allowed:?}");
    }
}

/// What a load balancer's address would be if the service that gives it up had its new ranges already.
fn closed<'a>(before: &Table, after: &Table, new: &'a BTreeMap<PortName, Sets>, key: &FrontendKey) -> Option<&'a Sets> {
    let [from, to] = [before, after].map(|table| owner(table, key));
    let given_up = from.clone().filter(|_| from != to).filter(|_| is_balanced(key))?;
    let held = before.get(&given_up)?.sources.as_ref()?;
    (after.get(&given_up)?.sources.as_ref() != Some(held)).then(|| new.get(&given_up)).flatten()
}

fn built(model: &mut Model, history: Vec<Step>) -> MemoryMaps {
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(ROOMY)).expect("memory does not fail");
    for (at, step) in history.into_iter().enumerate() {
        sync.apply(model.step(step));
        if at % 3 == 0 {
            end_grace(&mut sync);
        }
    }
    sync.into_maps()
}

/// The tables with memory of their own.
fn copy(maps: &MemoryMaps) -> MemoryMaps {
    use crate::maps::Maps;
    let mut copy = MemoryMaps::new(maps.capacity());
    let capacity = maps.capacity();
    for id in (0..capacity.services).map(ServiceId) {
        copy.set_service(id, maps.service(id));
        copy.set_name(id, maps.name(id));
    }
    (0..capacity.descriptors).for_each(|index| copy.set_descriptor(index, maps.descriptor(index)));
    (0..capacity.slots).for_each(|slot| copy.set_slot(slot, maps.slot(slot)));
    for id in (0..capacity.backends).map(BackendId) {
        copy.set_backend(id, maps.backend(id));
        copy.set_backend_state(id, maps.backend_state(id));
    }
    copy.insert_frontends(&maps.frontends().expect("memory")).expect("as large");
    copy.insert_source_ranges(&maps.source_ranges().expect("memory")).expect("as large");
    copy
}

fn killed_at(maps: &MemoryMaps, operations: u64, changes: &[Change]) -> (MemoryMaps, u64) {
    let faulty = FaultyMaps::new(copy(maps)).dying_after(operations);
    let (mut sync, _) = Sync::adopt(faulty).expect("memory does not fail");
    sync.apply(changes.to_vec());
    end_grace(&mut sync);
    let faulty = sync.into_maps();
    let total = faulty.operations();
    (faulty.into_inner(), total)
}

/// An agent dies in the midst of the last changes, and the next one finds everything whole: after each number of operations that
/// `next` says, given the one before and how many there are.
fn dies(history: Vec<Step>, last: Vec<Step>, next: fn(u64, u64) -> u64) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let maps = built(&mut model, history);
    let before = model.table.clone();
    let changes: Vec<Change> = last.into_iter().flat_map(|step| model.step(step)).collect();
    let stable = identities(&maps);
    let mut operations = 0;
    loop {
        let (left, total) = killed_at(&maps, operations, &changes);
        expect_whole(&left, &before, &model.table);
        let (mut follower, adopted) = Sync::adopt(left).expect("memory does not fail");
        prop_assert_eq!(adopted.damaged, 0);
        expect_whole(&follower.maps, &before, &model.table);
        follower.settle(model.all());
        prop_assert_eq!(held(&follower.maps), model.table.clone(), "killed after {} operations", operations);
        for (who, (id, generation, local)) in identities(&follower.maps) {
            if let Some(&(old, older, was)) = stable.get(&who)
                && was == local
                && before.contains_key(&who.0)
            {
                prop_assert_eq!((id, generation), (old, older), "{:?} stayed, killed after {} operations", who, operations);
            }
        }
        follower.settle(Vec::new());
        end_grace(&mut follower);
        expect_empty(follower);
        if operations >= total {
            return Ok(());
        }
        operations = next(operations, total).min(total);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn killed_at_every_operation(history in random(5, 6, 6), last in random(5, 6, 2)) {
        dies(history, last, |operations, _| operations + 1)?;
    }

    /// A Maglev table is thousands of writes that are alike: of these some.
    #[test]
    fn killed_among_the_writes_of_maglev_tables(history in steps(5, 6, 6), last in steps(5, 6, 2)) {
        dies(history, last, |operations, total| operations + 1 + operations * 7 % (total / 64).max(1))?;
    }

    /// Whatever stands in the tables, an agent starts, and the wanted table is in force after the first full list.
    #[test]
    fn garbage_is_adopted_and_cleared(history in steps(5, 6, 6), noise in prop::collection::vec((0u8..8, any::<u32>(), any::<[u32; 3]>()), 1..60)) {
        use crate::maps::Maps;
        use proxy_common::abi::*;
        let mut model = Model::default();
        let mut maps = built(&mut model, history);
        let capacity = maps.capacity();
        for (table, at, [a, b, c]) in noise {
            match table {
                0 => maps.set_service(ServiceId(at % capacity.services), ServiceWord::of(a % 80)),
                1 => maps.set_descriptor(at % capacity.descriptors, descriptor(a, b, c)),
                2 => maps.set_slot(at % capacity.slots, BackendId(a % 300)),
                3 => maps.set_backend(BackendId(at % capacity.backends), Backend { addr: Addr::v4_word(a), port: Port::new(1), flags: BackendFlags(b as u16), generation: Generation(c) }),
                4 => maps.set_backend_state(BackendId(at % capacity.backends), BackendState(a)),
                5 => maps.set_name(ServiceId(at % 40), *name((a % 9) as u8)),
                6 => drop(maps.insert_source_ranges(&[SourceRange::new(RangeSet(a % 80), Addr::v4_word(b), c as u8)])),
                _ => drop(maps.insert_frontends(&[(key(7, (a % 9) as u8), Frontend { service: ServiceId(at % 40), kind: FrontendKind(b) })])),
            }
        }
        let (mut sync, _) = Sync::adopt(maps).expect("memory does not fail");
        end_grace(&mut sync);
        sync.settle(model.all());
        end_grace(&mut sync);
        sync.retry();
        prop_assert_eq!(held(&sync.maps), model.table.clone());
        sync.settle(Vec::new());
        end_grace(&mut sync);
        expect_empty(sync);
    }
}

fn descriptor(a: u32, b: u32, c: u32) -> Descriptor {
    let (first, room) = if c.is_multiple_of(12) { (a % 6000, 0) } else { (a % 600, 1 << (c % 12 - 1)) };
    let range = |bits: u32| SlotRange { first: first + bits % 5, count: (bits >> 3) % 16 };
    let flags = ServiceFlags(c >> 16);
    Descriptor { first, room, cluster: range(b), local: range(b >> 8), flags, affinity: c >> 24, sources: RangeSet(a % 7) }
}

#[test]
fn a_clean_start_frees_everything_at_once() {
    let (mut sync, adopted) = Sync::adopt(MemoryMaps::new(ROOMY)).expect("memory does not fail");
    assert_eq!((adopted, sync.retired_pending()), (Default::default(), None));
}

//! Tables that are full or refuse: one service suffers, what works keeps working, and it heals.

use super::model::*;
use crate::maps::{Capacity, FaultyMaps, MapError, MapName, MemoryMaps};
use crate::sync::Sync;
use crate::table::{Age, Change, PortName, WantedService};
use nix::errno::Errno;
use proptest::prelude::*;
use proxy_common::abi::FrontendKind;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const TIGHT: Capacity =
    Capacity { services: 6, frontends: 7, backends: 20, slots: 40, descriptors: 9, source_ranges: 5, ..ROOMY };

fn claim(endpoints: u8, frontends: &[u8]) -> Option<Claim> {
    Some(Claim {
        endpoints: (0..endpoints).map(|number| (number, 1)).collect(),
        flags: 1,
        sources: None,
        frontends: frontends.iter().copied().collect(),
    })
}

fn full(sync: &Sync<MemoryMaps>) -> Vec<(PortName, MapName)> {
    sync.rejected().map(|rejection| (rejection.name, rejection.error.map())).collect()
}

#[test]
fn one_table_after_the_other_fills_and_heals() {
    let cases = [
        (Capacity { services: 3, ..ROOMY }, MapName::Services),
        (Capacity { frontends: 2, ..ROOMY }, MapName::Frontends),
        (Capacity { backends: 9, ..ROOMY }, MapName::Backends),
        (Capacity { slots: 8, ..ROOMY }, MapName::Slots),
        (Capacity { descriptors: 2, ..ROOMY }, MapName::Descriptors),
    ];
    for (capacity, map) in cases {
        let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
        let mut model = Model::default();
        let first = sync.apply(model.step((1..4).map(|service| (service, claim(3, &[3]))).collect()));
        let rejected: Vec<_> = first.rejected.iter().map(|rejection| (rejection.name.clone(), rejection.error.map())).collect();
        let expected = vec![(name(3), map)];
        assert_eq!((&rejected, &full(&sync)), (&expected, &expected), "{map}");
        assert!(matches!(first.rejected[0].error, MapError::Full { .. }));
        assert_eq!(sync.retry().rejected, [], "what was rejected before is not told again");
        sync.apply(model.step(vec![(1, None)]));
        end_grace(&mut sync);
        assert_eq!((held(&sync.maps), full(&sync)), (model.table, vec![]), "{map}");
    }
}

#[test]
fn a_service_in_a_full_table_can_lose_an_endpoint() {
    let capacity = Capacity { slots: 64, backends: 61, ..ROOMY };
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
    let mut model = Model::default();
    sync.apply(model.step((0..15).map(|service| (service, claim(4, &[3]))).collect()));
    assert!(sync.rejected().next().is_none());
    for service in 0..15 {
        let applied = sync.apply(model.step(vec![(service, claim(3, &[3]))]));
        assert_eq!((applied.flips, applied.rejected.len()), (1, 0));
        end_grace(&mut sync);
    }
    assert_eq!(held(&sync.maps), model.table);
}

/// A Service of this age, with so many endpoints.
fn aged(service: u8, created: Option<i64>, endpoints: u8) -> Change {
    let frontends = vec![(key(service, 3), FrontendKind::CLUSTER_IP)];
    let backends = (0..endpoints).map(|number| backend(service, number, 1)).collect();
    Change::Set(WantedService { age: Age::from(created), ..WantedService::new(name(service), frontends, backends) })
}

/// Who waits for room, and how many endpoints the others have.
fn room(sync: &Sync<MemoryMaps>) -> (Vec<PortName>, Vec<(PortName, usize)>) {
    let waiting = full(sync).into_iter().map(|(name, _)| name).collect();
    (waiting, held(&sync.maps).into_values().map(|service| (service.name, service.backends.len())).collect())
}

#[test]
fn s9_room_goes_to_the_oldest_that_waits() {
    let capacity = Capacity { services: 2, ..ROOMY };
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
    sync.apply(vec![aged(1, Some(1), 1)]);
    sync.apply(vec![aged(2, None, 1), aged(3, Some(20), 1), aged(4, Some(10), 1), aged(5, Some(10), 1)]);
    assert_eq!(room(&sync).0, [name(2), name(3), name(4), name(5)]);
    sync.apply(vec![Change::Remove(name(1))]);
    end_grace(&mut sync);
    assert_eq!(room(&sync).0, [name(2), name(3), name(5)]);
}

#[test]
fn s9_room_is_taken_from_the_newest_that_hold_it() {
    let capacity = Capacity { backends: 11, ..ROOMY };
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
    sync.apply(vec![aged(1, Some(30), 3), aged(2, Some(20), 3), aged(3, None, 0), aged(4, Some(10), 3)]);
    let applied = sync.apply(vec![aged(4, Some(10), 5)]);
    let rejected: Vec<_> = applied.rejected.iter().map(|rejection| rejection.name.clone()).collect();
    assert_eq!(rejected, [name(4), name(1)], "the newest with endpoints");
    assert_eq!(
        room(&sync),
        (vec![name(1), name(4)], vec![(name(2), 3), (name(3), 0), (name(4), 3)]),
        "one waits for a grace period"
    );
    let applied = sync.apply(vec![aged(5, None, 1), aged(1, Some(30), 1)]);
    assert_eq!((applied.flips, applied.rejected.len()), (0, 1), "nobody takes the room that is left meanwhile");
    end_grace(&mut sync);
    assert_eq!(
        room(&sync),
        (vec![], vec![(name(1), 1), (name(2), 3), (name(3), 0), (name(4), 5), (name(5), 1)]),
        "who fits is back"
    );
    sync.apply(vec![aged(4, Some(10), 11)]);
    end_grace(&mut sync);
    let stand = vec![(name(1), 1), (name(2), 3), (name(3), 0), (name(4), 5), (name(5), 1)];
    assert_eq!(room(&sync), (vec![name(4)], stand.clone()), "nobody goes in vain");
    let retried = sync.retry();
    assert_eq!((retried.flips, room(&sync).1), (0, stand));
}

#[test]
fn s9_a_promise_ends_with_the_one_it_was_made_to() {
    let capacity = Capacity { backends: 7, ..ROOMY };
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
    sync.apply(vec![aged(1, Some(30), 3)]);
    sync.apply(vec![aged(2, Some(10), 6)]);
    assert_eq!(room(&sync), (vec![name(1), name(2)], vec![]));
    sync.apply(vec![Change::Remove(name(2)), aged(3, None, 3)]);
    assert_eq!(room(&sync), (vec![name(1)], vec![(name(3), 3)]), "there is room for three of six endpoints");
    end_grace(&mut sync);
    assert_eq!(room(&sync), (vec![], vec![(name(1), 3), (name(3), 3)]));
}

#[test]
fn s9_a_promise_that_cannot_be_kept_keeps_nobody_out() {
    let capacity = Capacity { backends: 8, ..ROOMY };
    let promised = || {
        let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
        sync.apply(vec![aged(1, Some(30), 3)]);
        sync.apply(vec![aged(2, Some(10), 6), aged(3, None, 1)]);
        assert_eq!(room(&sync), (vec![name(1), name(2), name(3)], vec![]));
        sync
    };
    let mut sync = promised();
    sync.apply(vec![aged(2, Some(10), 9)]);
    end_grace(&mut sync);
    assert_eq!(room(&sync), (vec![name(2)], vec![(name(1), 3), (name(3), 1)]), "it wants too much");
    let mut sync = promised();
    sync.apply(vec![Change::Remove(name(2)), aged(2, None, 6)]);
    end_grace(&mut sync);
    assert_eq!(room(&sync), (vec![name(2)], vec![(name(1), 3), (name(3), 1)]), "it is another now, and newer");
}

/// A Service with these source ranges.
fn restricted(endpoints: u8, sources: &[u8]) -> Option<Claim> {
    claim(endpoints, &[3]).map(|claim| Claim { sources: Some(sources.iter().copied().collect()), ..claim })
}

#[test]
fn s24_a_full_table_of_ranges_leaves_a_service_as_it_is_and_lets_no_new_one_in() {
    let capacity = Capacity { source_ranges: 3, ..ROOMY };
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
    let mut model = Model::default();
    sync.apply(model.step(vec![(1, restricted(1, &[1, 2]))]));
    let before = model.table.clone();
    sync.apply(model.step(vec![(1, restricted(2, &[2, 3])), (2, restricted(1, &[1, 2])), (3, restricted(1, &[]))]));
    assert_eq!(full(&sync), [(name(1), MapName::SourceRanges), (name(2), MapName::SourceRanges)]);
    let after = held(&sync.maps);
    assert_eq!((after.get(&name(1)), after.get(&name(2))), (before.get(&name(1)), None));
    assert_eq!(after.get(&name(3)), model.table.get(&name(3)), "who has no range needs no room");
    assert!(sync.maps.frontend(&key(2, 3)).is_none());
    sync.apply(model.step(vec![(2, None), (1, restricted(2, &[3]))]));
    end_grace(&mut sync);
    assert_eq!((held(&sync.maps), full(&sync)), (model.table, vec![]));
}

#[test]
fn what_fails_again_and_again_begins_no_grace_period_by_itself() {
    let mut written = 0;
    let refuse = move |map, _| {
        written += u32::from(map == MapName::SourceRanges);
        (map == MapName::SourceRanges && written.is_multiple_of(2)).then_some(Errno::ENOMEM)
    };
    let (mut sync, _) = Sync::adopt(FaultyMaps::new(MemoryMaps::new(ROOMY)).refusing(refuse)).expect("nothing is removed");
    let mut model = Model::default();
    let applied = sync.apply(model.step(vec![(1, restricted(1, &[1, 2]))]));
    assert_eq!((applied.rejected.len(), sync.has_failures()), (1, true), "half of a set was written");
    for _ in 0..3 {
        let token = {
            sync.retry();
            sync.retired_pending()
        }
        .expect("what was put off is due");
        sync.grace_ended(token);
        assert_eq!(sync.retired_pending(), None, "it failed again, and waits");
    }
}

#[test]
fn s24_a_load_balancers_address_that_stays_keeps_its_service_as_it_was() {
    let refuse = |map, _| (map == MapName::Frontends).then_some(Errno::ENOMEM);
    let mut model = Model::default();
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(ROOMY)).expect("memory does not fail");
    sync.apply(model.step(vec![(1, restricted(1, &[1]))]));
    let before = model.table.clone();
    let (mut sync, _) = Sync::adopt(FaultyMaps::new(sync.into_maps()).refusing(refuse)).expect("nothing is removed");
    let applied = sync.apply(model.step(vec![(1, claim(2, &[]))]));
    assert_eq!((applied.flips, applied.rejected.len()), (0, 1));
    end_grace(&mut sync);
    let (mut sync, _) = Sync::adopt(sync.into_maps().into_inner()).expect("memory does not fail");
    assert_eq!(held(&sync.maps), before);
    sync.settle(model.all());
    end_grace(&mut sync);
    assert_eq!(held(&sync.maps), model.table);
    sync.settle(Vec::new());
    end_grace(&mut sync);
    expect_empty(sync);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// Full tables: whoever is not rejected is right, whoever is keeps a whole table, and nothing leaks.
    #[test]
    fn what_fits_is_right(steps in steps(7, 8, 30)) {
        let (mut sync, _) = Sync::adopt(MemoryMaps::new(TIGHT)).expect("memory does not fail");
        let mut model = Model::default();
        for step in steps {
            sync.apply(model.step(step));
            end_grace(&mut sync);
            let rejected: BTreeSet<PortName> = sync.rejected().map(|rejection| rejection.name).collect();
            let held = held(&sync.maps);
            for (name, wanted) in model.table.iter().filter(|(name, _)| !rejected.contains(*name)) {
                prop_assert_eq!(held.get(name), Some(wanted));
            }
        }
        sync.settle(Vec::new());
        end_grace(&mut sync);
        prop_assert_eq!(full(&sync), vec![]);
        expect_empty(sync);
    }

    /// S9: what stands in a full table is what a start from nothing would put there, whatever came first; trying again changes nothing.
    #[test]
    fn s9_a_full_table_holds_what_a_fresh_one_would(steps in random(9, 8, 30), backends in 8u32..40, frontends in 4u32..20) {
        let capacity = Capacity { backends, frontends, ..ROOMY };
        let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
        let mut model = Model::default();
        for step in steps {
            sync.apply(model.step(step));
            end_grace(&mut sync);
            let outcome = |sync: &Sync<MemoryMaps>| (held(&sync.maps), sync.rejected().map(|one| one.name).collect::<Vec<_>>());
            let before = outcome(&sync);
            prop_assert_eq!(sync.retry().flips, 0);
            end_grace(&mut sync);
            prop_assert_eq!(&outcome(&sync), &before);
            // One that stands as it was, since it finds no room to grow, holds what a fresh one does not.
            if before.1.iter().any(|name| before.0.contains_key(name)) {
                continue;
            }
            let (mut fresh, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
            fresh.settle(model.all());
            prop_assert_eq!(before, outcome(&fresh));
        }
    }

    /// A kernel that refuses now and then: after it stops, trying again makes the table right.
    #[test]
    fn refusals_heal(steps in steps(6, 6, 20), pattern in any::<u64>()) {
        let broken = Arc::new(AtomicBool::new(true));
        let flag = broken.clone();
        let refuse = move |_, tried: u64| (flag.load(Ordering::Relaxed) && pattern >> (tried % 64) & 1 == 1).then_some(Errno::ENOMEM);
        let (mut sync, _) = Sync::adopt(FaultyMaps::new(MemoryMaps::new(ROOMY)).refusing(refuse)).expect("nothing to read");
        let mut model = Model::default();
        for step in steps {
            sync.apply(model.step(step));
            if let Some(token) = sync.retired_pending() {
                sync.grace_ended(token);
            }
        }
        broken.store(false, Ordering::Relaxed);
        sync.retry();
        sync.retry();
        prop_assert_eq!(sync.rejected().count(), 0);
        prop_assert_eq!(held(&sync.maps), model.table.clone());
    }
}

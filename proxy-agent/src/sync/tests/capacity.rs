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

#[test]
fn s9_room_goes_to_the_oldest_that_waits() {
    let capacity = Capacity { services: 2, ..ROOMY };
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(capacity)).expect("memory does not fail");
    let mut model = Model::default();
    sync.apply(model.step(vec![(1, claim(1, &[3]))]));
    let aged = |service: u8, created| {
        let frontends = vec![(key(service, 3), FrontendKind::CLUSTER_IP)];
        Change::Set(WantedService { age: Age::from(created), ..WantedService::new(name(service), frontends, Vec::new()) })
    };
    sync.apply(vec![aged(2, None), aged(3, Some(20)), aged(4, Some(10)), aged(5, Some(10))]);
    assert_eq!(full(&sync).len(), 4);
    sync.apply(vec![Change::Remove(name(1))]);
    end_grace(&mut sync);
    let waiting: Vec<PortName> = full(&sync).into_iter().map(|(name, _)| name).collect();
    assert_eq!(waiting, [name(2), name(3), name(5)]);
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
    #![proptest_config(ProptestConfig::with_cases(200))]
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

//! Sequences of changes, whole: after each the tables hold the wanted table, and in the end nothing is left over.

use super::model::*;
use crate::maps::{MemoryMaps, Read};
use crate::sync::Sync;
use crate::table::Change;
use proptest::prelude::*;

fn sync() -> Sync<MemoryMaps> {
    Sync::adopt(MemoryMaps::new(ROOMY)).expect("memory does not fail").0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn tables_follow_and_nothing_leaks(steps in steps(8, 10, 40), grace in 1usize..6) {
        let (mut model, mut sync) = (Model::default(), sync());
        for (at, step) in steps.into_iter().enumerate() {
            let before = identities(&sync.maps);
            let applied = sync.apply(model.step(step));
            prop_assert_eq!(&applied.rejected, &[]);
            prop_assert_eq!(held(&sync.maps), model.table.clone());
            for (who, (id, generation, local)) in identities(&sync.maps) {
                if let Some(&(old, older, was_local)) = before.get(&who) && local == was_local && sync_kept(&applied, &who.0) {
                    prop_assert_eq!((id, generation), (old, older), "{:?} stayed", who);
                }
            }
            if at % grace == 0 {
                end_grace(&mut sync);
            }
        }
        let gone = sync.settle(Vec::new());
        prop_assert_eq!(gone.changes.len(), model.table.len());
        end_grace(&mut sync);
        expect_empty(sync);
    }

    #[test]
    fn what_does_not_change_is_not_written(steps in steps(8, 10, 10)) {
        let (mut model, mut sync) = (Model::default(), sync());
        for step in steps {
            sync.apply(model.step(step));
        }
        end_grace(&mut sync);
        let again = sync.apply(model.all());
        prop_assert_eq!((again.flips, again.changes.len(), sync.retired_pending()), (0, 0, None));
    }
}

fn sync_kept(applied: &crate::sync::Applied, name: &proxy_common::abi::ServiceName) -> bool {
    applied.changes.iter().all(|change| *change.name != *name || change.kind == crate::sync::ChangeKind::Updated)
}

fn claim(endpoints: &[(u8, u8)]) -> Claim {
    Claim { endpoints: endpoints.iter().copied().collect(), flags: 1, sources: None, frontends: [3].into() }
}

#[test]
fn a_set_that_does_not_change_does_not_flip() {
    let (mut model, mut sync) = (Model::default(), sync());
    let mut flips = |endpoints: &[(u8, u8)]| sync.apply(model.step(vec![(1, Some(claim(endpoints)))])).flips;
    assert_eq!(flips(&[(1, 1), (2, 1), (3, 1), (4, 0)]), 1);
    assert_eq!(flips(&[(1, 1), (2, 1), (3, 1)]), 0, "one that keeps old flows alone went");
    assert_eq!(flips(&[(1, 1), (2, 1), (3, 1), (5, 0)]), 0, "one that keeps old flows alone came");
    assert_eq!(flips(&[(1, 1), (2, 1), (3, 0), (5, 0)]), 1, "one is not chosen any more");
    assert_eq!(flips(&[(1, 1), (2, 1), (3, 0), (5, 1)]), 1);
    assert_eq!(flips(&[(1, 1), (2, 3), (3, 0), (5, 1)]), 1, "one is in the Local set too");
    assert_eq!(flips(&[(1, 1), (2, 3), (5, 1)]), 0);
    assert_eq!(flips(&[]), 1);
}

#[test]
fn another_flag_flips() {
    let (mut model, mut sync) = (Model::default(), sync());
    let mut flips = |flags| sync.apply(model.step(vec![(1, Some(Claim { flags, ..claim(&[(1, 1)]) }))])).flips;
    assert_eq!([flips(1), flips(3), flips(3), flips(7)], [1, 1, 0, 1]);
}

#[test]
fn s24_other_ranges_flip_and_the_same_ones_stay_where_they_are() {
    let (mut model, mut sync) = (Model::default(), sync());
    let mut set = |endpoints: &[(u8, u8)], sources: Option<&[u8]>| {
        let sources = sources.map(|numbers| numbers.iter().copied().collect());
        let flips = sync.apply(model.step(vec![(1, Some(Claim { sources, ..claim(endpoints) }))])).flips;
        end_grace(&mut sync);
        let mut ranges = sync.maps.source_ranges().expect("memory does not fail");
        ranges.sort_unstable();
        (flips, ranges)
    };
    let (first, second) = (set(&[(1, 1)], Some(&[1, 2])), set(&[(1, 1), (2, 1)], Some(&[1, 2])));
    assert_eq!((first.0, first.1.len(), second.0), (1, 2, 1));
    assert_eq!(first.1, second.1, "another set of endpoints writes no range");
    let third = set(&[(1, 1), (2, 1)], Some(&[1, 3]));
    assert_eq!((third.0, third.1.len()), (1, 2));
    assert!(third.1.iter().all(|range| !second.1.contains(range)), "a set of its own");
    assert_eq!(set(&[(1, 1)], Some(&[])), (1, vec![]), "nobody");
    assert_eq!(set(&[(1, 1)], Some(&[])), (0, vec![]));
    assert_eq!(set(&[(1, 1)], None), (1, vec![]), "everybody");
}

#[test]
fn the_last_change_to_a_service_counts() {
    let (mut model, mut sync) = (Model::default(), sync());
    let mut changes = model.step(vec![(1, Some(claim(&[(1, 1)])))]);
    changes.insert(0, Change::Remove(name(1)));
    changes.extend(model.step(vec![(1, Some(claim(&[(2, 1)])))]));
    let applied = sync.apply(changes);
    assert_eq!((applied.changes.len(), applied.flips, held(&sync.maps)), (1, 1, model.table));
}

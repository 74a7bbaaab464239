//! A thread that reads as a program does while another changes the tables: it never sees half a change.

use super::model::*;
use crate::maps::{MemoryMaps, Read};
use crate::sync::Sync;
use ipnet::IpNet;
use proxy_common::abi::{Addr, BackendState, FrontendKind, Port, RangeSet, ServiceId, SourceRange};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Changes that are made at least, and decisions that must be read during them.
const ROUNDS: u32 = 1000;
const DECISIONS: u64 = 100;
/// When a reader that reads too little is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Endpoints and source ranges of round `round`: all have the round's number in their address, and there are as many as the number
/// says.
fn wanted(round: u32) -> crate::table::WantedService {
    let state = BackendState::SERVING.with(BackendState::IN_CLUSTER);
    let round = (round % u32::from(u16::MAX)) as u16 + 1;
    let [high, low] = round.to_be_bytes();
    let backends = (0..1 + round % 7).map(|number| crate::table::WantedBackend {
        addr: Addr::from(IpAddr::V4(Ipv4Addr::new(10, high, low, number as u8))),
        port: Port::new(round),
        local: false,
        state,
    });
    let frontends = vec![(key(1, 3), FrontendKind::LOAD_BALANCER)];
    let sources = (0..1 + round % 5).map(|number| IpNet::from(IpAddr::from([10, high, low, number as u8]))).collect();
    let wanted = crate::table::WantedService::new(name(1), frontends, backends.collect());
    crate::table::WantedService { sources: Some(sources), ..wanted }
}

/// Whether a set lets in exactly whom its round lets in.
fn is_whole(maps: &MemoryMaps, set: RangeSet, round: u16) -> bool {
    let ranges = maps.source_ranges().expect("memory does not fail");
    let held: Vec<SourceRange> = ranges.into_iter().filter(|range| range.set() == set).collect();
    let same = |range: &SourceRange| range.addr().as_v4_word().to_ne_bytes()[1..3] == round.to_be_bytes();
    held.iter().all(same) && held.len() == usize::from(1 + round % 5)
}

/// One decision after the other, each an RCU reader: odd while it runs.
fn read(maps: &MemoryMaps, reader: &AtomicU64, seen: &AtomicU64, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        reader.fetch_add(1, Ordering::SeqCst);
        if let Some(index) = maps.service(ServiceId(1)).descriptor() {
            let descriptor = maps.descriptor(index);
            let slots = descriptor.cluster.first..descriptor.cluster.first + descriptor.cluster.count;
            let members: Vec<_> = slots.map(|slot| maps.backend(maps.slot(slot))).collect();
            let round = members.first().map_or(0, |backend| backend.port.number());
            let same = members.iter().all(|backend| backend.port.number() == round);
            assert!(same && members.len() == usize::from(1 + round % 7), "half a change: {members:?}");
            assert!(is_whole(maps, descriptor.sources, round), "half a set of ranges in round {round}");
            seen.fetch_add(1, Ordering::Relaxed);
        }
        reader.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits as the kernel does: until every reader that ran has ended, by a panic too.
fn synchronize(reader: &AtomicU64, thread: &JoinHandle<()>) {
    let at = reader.load(Ordering::SeqCst);
    while at % 2 == 1 && reader.load(Ordering::SeqCst) == at && !thread.is_finished() {
        std::thread::yield_now();
    }
}

#[test]
fn readers_see_whole_sets() {
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(ROOMY)).expect("memory does not fail");
    let maps = sync.maps().clone();
    let [reader, seen] = [(); 2].map(|()| Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let shared = (reader.clone(), seen.clone(), stop.clone());
    let thread = std::thread::spawn(move || read(&maps, &shared.0, &shared.1, &shared.2));
    let (begin, mut rounds) = (Instant::now(), 0);
    while rounds < ROUNDS || seen.load(Ordering::Relaxed) < DECISIONS {
        assert!(begin.elapsed() < PATIENCE, "{seen:?} decisions during {rounds} changes prove little");
        rounds += 1;
        let applied = sync.apply(vec![crate::table::Change::Set(wanted(rounds))]);
        assert_eq!(applied.rejected, []);
        if let Some(token) = sync.retired_pending() {
            synchronize(&reader, &thread);
            sync.grace_ended(token);
        }
        if thread.is_finished() {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    thread.join().expect("the reader saw no half change");
}

//! A thread that reads as a program does while another changes the tables: it never sees half a change.

use super::model::*;
use crate::maps::{MemoryMaps, Read};
use crate::sync::Sync;
use proxy_common::abi::{Addr, BackendState, FrontendKind, Port, ServiceId};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Endpoints of round `round`: all have the round's number in their address, and there are as many as the number says.
fn wanted(round: u16) -> crate::table::WantedService {
    let state = BackendState::SERVING.with(BackendState::IN_CLUSTER);
    let [high, low] = round.to_be_bytes();
    let backends = (0..1 + round % 7).map(|number| crate::table::WantedBackend {
        addr: Addr::from(IpAddr::V4(Ipv4Addr::new(10, high, low, number as u8))),
        port: Port::new(round),
        local: false,
        state,
    });
    let frontends = vec![(key(1, 3), FrontendKind::CLUSTER_IP)];
    crate::table::WantedService::new(name(1), frontends, backends.collect())
}

/// One decision after the other, each an RCU reader: odd while it runs.
fn read(maps: &MemoryMaps, reader: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut seen = 0;
    while !stop.load(Ordering::Relaxed) {
        reader.fetch_add(1, Ordering::SeqCst);
        if let Some(index) = maps.service(ServiceId(1)).descriptor() {
            let descriptor = maps.descriptor(index);
            let slots = descriptor.cluster.first..descriptor.cluster.first + descriptor.cluster.count;
            let members: Vec<_> = slots.map(|slot| maps.backend(maps.slot(slot))).collect();
            let round = members.first().map_or(0, |backend| backend.port.number());
            let same = members.iter().all(|backend| backend.port.number() == round);
            assert!(same && members.len() == usize::from(1 + round % 7), "half a change: {members:?}");
            seen += 1;
        }
        reader.fetch_add(1, Ordering::SeqCst);
    }
    seen
}

/// Waits as the kernel does: until every reader that ran has ended.
fn synchronize(reader: &AtomicU64) {
    let at = reader.load(Ordering::SeqCst);
    while at % 2 == 1 && reader.load(Ordering::SeqCst) == at {
        std::thread::yield_now();
    }
}

#[test]
fn readers_see_whole_sets() {
    let (mut sync, _) = Sync::adopt(MemoryMaps::new(ROOMY)).expect("memory does not fail");
    let (maps, reader, stop) = (sync.maps().clone(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counter, end) = (reader.clone(), stop.clone());
    let thread = std::thread::spawn(move || read(&maps, &counter, &end));
    let until = Instant::now() + Duration::from_millis(500);
    let mut rounds = 0u16;
    while Instant::now() < until {
        rounds = rounds.wrapping_add(1);
        let applied = sync.apply(vec![crate::table::Change::Set(wanted(rounds))]);
        assert_eq!(applied.rejected, []);
        if let Some(token) = sync.retired_pending() {
            synchronize(&reader);
            sync.grace_ended(token);
        }
    }
    stop.store(true, Ordering::Relaxed);
    let seen = thread.join().expect("the reader saw no half change");
    assert!(seen > 100 && rounds > 100, "{seen} decisions during {rounds} changes prove little");
}

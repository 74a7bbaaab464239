//! Threads that read as programs do, from a frontend to the last member of a set, while another changes the tables at random: none
//! ever sees half a change.

use super::model::*;
use crate::maps::{FaultyMaps, MemoryMaps, Read};
use crate::sync::Sync;
use crate::table::{Change, WantedBackend, WantedService};
use ipnet::IpNet;
use proxy_common::abi::{
    Addr, BackendState, Descriptor, FrontendKey, FrontendKind, Port, RangeSet, ServiceFlags, ServiceId, SlotRange, SourceRange,
};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const READERS: usize = 3;
const SERVICES: u8 = 6;
/// Rounds of changes that are made at least, and decisions that each reader must make during them.
const ROUNDS: u64 = 1000;
const DECISIONS: u64 = 100;
/// Turns of an empty loop between two operations: some microseconds.
const PAUSE: u32 = 200;
/// When readers that read too little are given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The frontend that all services take from each other.
fn shared() -> FrontendKey {
    key(0, 1)
}

/// All that a version of a service is follows from its number, which the affinity's timeout tells.
fn wanted(service: u8, version: u32, has_shared: bool) -> WantedService {
    let cluster = |number: u32| BackendState::IN_CLUSTER.when((number + version).is_multiple_of(2));
    let local = |number: u32| BackendState::IN_LOCAL.when((number + version / 2).is_multiple_of(3));
    let backends = (0..1 + version % 9).map(|number| WantedBackend {
        addr: Addr::from(IpAddr::V4(Ipv4Addr::new(10, 1, service, number as u8))),
        // Some stay from version to version, in other sets; the others are new each time.
        port: Port::new(if number < 4 { 80 } else { 1000 + (version % 60_000) as u16 }),
        local: false,
        state: BackendState::SERVING.with(cluster(number)).with(local(number)),
    });
    let own = (key(service, 3), FrontendKind::LOAD_BALANCER);
    let mut frontends: Vec<_> = [own].into_iter().chain(has_shared.then_some((shared(), FrontendKind::CLUSTER_IP))).collect();
    frontends.sort_unstable();
    let [.., high, low] = version.to_be_bytes();
    let sources = (0..version % 5).map(|number| IpNet::from(IpAddr::from([high, low, service, number as u8]))).collect();
    let flags = ServiceFlags::ENDPOINTS.with(ServiceFlags::MAGLEV.when(version.is_multiple_of(7)));
    WantedService {
        affinity: version,
        flags,
        sources: Some(sources).filter(|_| !version.is_multiple_of(3)),
        ..WantedService::new(name(service), frontends, backends.collect())
    }
}

type Members = BTreeSet<(Addr, Port)>;

/// What a program may choose from.
fn members(maps: &MemoryMaps, set: SlotRange) -> Members {
    let backends = (set.first..set.first + set.count).map(|slot| maps.backend(maps.slot(slot)));
    backends.map(|backend| (backend.addr, backend.port)).collect()
}

/// Asserts that a descriptor is one version of a service, and nothing of another.
fn expect_whole(maps: &MemoryMaps, service: u8, descriptor: Descriptor) {
    let version = descriptor.affinity / 1000;
    let wanted = wanted(service, version, false);
    for (set, bit) in [(descriptor.cluster, BackendState::IN_CLUSTER), (descriptor.local, BackendState::IN_LOCAL)] {
        let chosen = wanted.backends.iter().filter(|backend| backend.state.has(bit));
        let chosen: Members = chosen.map(|backend| (backend.addr, backend.port)).collect();
        assert_eq!(members(maps, set), chosen, "half a change: service {service}, version {version}, {bit:?}");
        let each_once = set.count as usize == chosen.len() || wanted.flags.has(ServiceFlags::MAGLEV);
        assert!(each_once, "service {service}, version {version}: {} slots for {} backends", set.count, chosen.len());
    }
    assert_eq!(descriptor.flags, wanted.flags);
    let ranges = maps.source_ranges().expect("memory does not fail");
    let held = ranges.iter().filter(|range| range.set() == descriptor.sources && descriptor.sources != RangeSet::NONE);
    let held: BTreeSet<Addr> = held.map(SourceRange::addr).collect();
    let sources: BTreeSet<Addr> = wanted.sources.iter().flatten().map(|range| Addr::from(range.addr())).collect();
    assert_eq!(held, sources, "half a set of ranges: service {service}, version {version}");
    assert_eq!(descriptor.sources == RangeSet::NONE, wanted.sources.is_none(), "service {service}, version {version}");
}

/// A reader: its counter is odd while a decision runs.
#[derive(Default)]
struct Reader {
    running: AtomicU64,
    decisions: AtomicU64,
}

impl Reader {
    fn run(&self, maps: &MemoryMaps, stop: &AtomicBool) {
        let keys: Vec<FrontendKey> = (0..SERVICES).map(|service| key(service, 3)).chain([shared()]).collect();
        for at in (0..keys.len()).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
            self.running.fetch_add(1, Ordering::SeqCst);
            self.decide(maps, &keys[at]);
            self.running.fetch_add(1, Ordering::SeqCst);
            // Others run now rather than in the middle of a decision, for whose end the writer would wait.
            std::thread::yield_now();
        }
    }

    /// From a frontend to both sets, as a program goes.
    fn decide(&self, maps: &MemoryMaps, key: &FrontendKey) {
        let frontends = maps.frontends().expect("memory does not fail");
        let Some((_, frontend)) = frontends.into_iter().find(|(other, _)| other == key) else { return };
        let Some(index) = maps.service(frontend.service).descriptor() else { return };
        let descriptor = maps.descriptor(index);
        let named = maps.name(frontend.service);
        let service = (0..SERVICES).find(|service| *name(*service) == named).expect("a name stands while its id is in use");
        expect_whole(maps, service, descriptor);
        self.decisions.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits as the kernel does: until a decision that runs has ended, by a panic too.
    fn synchronize(&self, thread: &JoinHandle<()>) {
        let at = self.running.load(Ordering::SeqCst);
        while at % 2 == 1 && self.running.load(Ordering::SeqCst) == at && !thread.is_finished() {
            std::thread::yield_now();
        }
    }
}

/// Some services in new versions, some gone. The shared frontend is the first one's that is set; whoever had it loses it in the same
/// round.
fn changes(round: u64, owner: &mut Option<(u8, u32)>) -> Vec<Change> {
    let mut dice = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    let (mut found, mut touched, mut taker) = (Vec::new(), [false; SERVICES as usize], None);
    for service in 0..SERVICES {
        let roll = dice % 8;
        dice /= 8;
        touched[service as usize] = roll < 4;
        match roll {
            0 => found.push(Change::Remove(name(service))),
            1..=3 => {
                let version = (round * 8 + roll) as u32 % 1_000_000;
                found.push(Change::Set(wanted(service, version, taker.is_none())));
                taker.get_or_insert((service, version));
            }
            _ => {}
        }
    }
    let left = owner.filter(|(old, _)| !touched[*old as usize]);
    if let (Some((old, version)), Some(_)) = (left, taker) {
        found.push(Change::Set(wanted(old, version, false)));
    }
    *owner = taker.or(left);
    found
}

#[test]
fn readers_see_whole_sets() {
    let memory = MemoryMaps::new(ROOMY);
    // Without a pause a reader would have to come within nanoseconds to meet what must not be met.
    let slow = FaultyMaps::new(memory.clone()).pausing(|| (0..PAUSE).for_each(|_| std::hint::spin_loop()));
    let (mut sync, _) = Sync::adopt(slow).expect("memory does not fail");
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<Arc<Reader>> = (0..READERS).map(|_| Arc::default()).collect();
    let spawn = |reader: &Arc<Reader>| {
        let (reader, maps, stop) = (reader.clone(), memory.clone(), stop.clone());
        std::thread::spawn(move || reader.run(&maps, &stop))
    };
    let threads: Vec<JoinHandle<()>> = readers.iter().map(spawn).collect();
    let little = || readers.iter().any(|reader| reader.decisions.load(Ordering::Relaxed) < DECISIONS);
    let (begin, mut round, mut owner) = (Instant::now(), 0, None);
    while (round < ROUNDS || little()) && !threads.iter().any(JoinHandle::is_finished) {
        assert!(begin.elapsed() < PATIENCE, "the readers decided too little in {round} rounds");
        round += 1;
        assert_eq!(sync.apply(changes(round, &mut owner)).rejected, []);
        if let Some(token) = sync.retired_pending() {
            readers.iter().zip(&threads).for_each(|(reader, thread)| reader.synchronize(thread));
            sync.grace_ended(token);
        }
    }
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("no reader saw half a change"));
    assert!(sync.maps().service(ServiceId::default()).descriptor().is_none());
}

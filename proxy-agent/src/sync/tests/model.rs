//! The model: what a few Services could want, made into changes as `compile` makes them, and what programs should then see.

use crate::maps::{Capacity, MemoryMaps, Read, services};
use crate::sync::Sync;
use crate::table::{Change, PortName, WantedBackend, WantedService};
use bytemuck::Zeroable;
use ipnet::IpNet;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proxy_common::abi::{
    Addr, BackendId, BackendState, Family, FrontendKey, FrontendKind, Generation, Port, Proto, ServiceFlags, ServiceId,
    ServiceName,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

pub const ROOMY: Capacity = Capacity {
    services: 32,
    frontends: 64,
    backends: 256,
    slots: 1 << 16,
    descriptors: 64,
    source_ranges: 128,
    connections: 0,
    flows: 0,
    flows_spill: 0,
    flows_any: 0,
    flows_any_spill: 0,
    udp_peers: 0,
};

pub type Table = BTreeMap<PortName, WantedService>;

/// A claim of one Service: endpoints (number, state), flags, numbers of source ranges, and numbers of frontends. Frontends below
/// [`SHARED`] may be claimed by several Services; the first by name gets them. Odd ones are of load balancers.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    pub endpoints: BTreeMap<u8, u8>,
    pub flags: u32,
    pub sources: Option<BTreeSet<u8>>,
    pub frontends: BTreeSet<u8>,
}

const SHARED: u8 = 2;

pub fn name(service: u8) -> PortName {
    ServiceName::new("default", &format!("service-{service}"), "", Proto::TCP, Family::V4).expect("a short name").into()
}

pub fn key(service: u8, number: u8) -> FrontendKey {
    let owner = if number < SHARED { 255 } else { service };
    FrontendKey::new(Addr::from(std::net::IpAddr::V4(Ipv4Addr::new(10, 96, owner, number))), Port::new(80), Proto::TCP)
}

pub fn backend(service: u8, number: u8, state: u8) -> WantedBackend {
    let addr = Addr::from(std::net::IpAddr::V4(Ipv4Addr::new(10, 1, service, number)));
    let cluster = BackendState::IN_CLUSTER.when(state & 1 != 0);
    let state = BackendState::SERVING.with(cluster).with(BackendState::IN_LOCAL.when(state & 2 != 0));
    WantedBackend { addr, port: Port::new(8080), local: number.is_multiple_of(2), state }
}

/// What kind of address a frontend is.
pub fn kind(number: u8) -> FrontendKind {
    if number.is_multiple_of(2) { FrontendKind::CLUSTER_IP } else { FrontendKind::LOAD_BALANCER }
}

/// Whether a frontend is a load balancer's: its number is the address's last part.
pub fn is_balanced(key: &FrontendKey) -> bool {
    let [.., number] = key.addr.as_v4_word().to_ne_bytes();
    kind(number) == FrontendKind::LOAD_BALANCER
}

pub fn range(number: u8) -> IpNet {
    let (octets, bits) = ([10, number, 0, 0], if number == 0 { 8 } else { 16 });
    IpNet::new(Ipv4Addr::from(octets).into(), bits).expect("a short prefix")
}

/// One step: some Services change what they claim; `None` deletes.
pub type Step = Vec<(u8, Option<Claim>)>;

pub fn steps(services: u8, endpoints: usize, len: usize) -> impl Strategy<Value = Vec<Step>> {
    steps_with_flags(services, endpoints, len, 16)
}

/// The same, of Services whose endpoints are chosen at random.
pub fn random(services: u8, endpoints: usize, len: usize) -> impl Strategy<Value = Vec<Step>> {
    steps_with_flags(services, endpoints, len, ServiceFlags::MAGLEV.0)
}

fn steps_with_flags(services: u8, endpoints: usize, len: usize, end: u32) -> impl Strategy<Value = Vec<Step>> {
    let sources = prop::option::of(btree_set(0u8..4, 0..3));
    let claim = (btree_map(0u8..12, 0u8..4, 0..endpoints), 0..end, sources, btree_set(0u8..5, 0..4))
        .prop_map(|(endpoints, flags, sources, frontends)| Claim { endpoints, flags, sources, frontends });
    vec(vec((0..services, prop::option::weighted(0.8, claim)), 1..4), 1..len)
}

/// The claims so far, and the table that follows from them.
#[derive(Clone, Debug, Default)]
pub struct Model {
    claims: BTreeMap<u8, Claim>,
    pub table: Table,
}

impl Model {
    /// Takes a step and returns the changes, in an order that has nothing to do with who gives and who takes.
    pub fn step(&mut self, step: Step) -> Vec<Change> {
        for (service, claim) in step {
            match claim {
                Some(claim) => drop(self.claims.insert(service, claim)),
                None => drop(self.claims.remove(&service)),
            }
        }
        let before = std::mem::replace(&mut self.table, table(&self.claims));
        let gone = before.keys().filter(|name| !self.table.contains_key(*name)).map(|name| Change::Remove(name.clone()));
        let set = self.table.values().filter(|wanted| before.get(&wanted.name) != Some(*wanted)).cloned().map(Change::Set);
        let mut changes: Vec<Change> = gone.chain(set).collect();
        let turn = self.claims.len() % changes.len().max(1);
        changes.rotate_left(turn);
        changes
    }

    pub fn all(&self) -> Vec<Change> {
        self.table.values().cloned().map(Change::Set).collect()
    }
}

fn table(claims: &BTreeMap<u8, Claim>) -> Table {
    let mut claimed = BTreeSet::new();
    claims
        .iter()
        .map(|(&service, claim)| {
            let keys = claim.frontends.iter().map(|number| (key(service, *number), kind(*number)));
            let mut frontends: Vec<_> = keys.filter(|(key, _)| claimed.insert(*key)).collect();
            frontends.sort_unstable();
            let backends = claim.endpoints.iter().map(|(number, state)| backend(service, *number, *state)).collect();
            let wanted = WantedService::new(name(service), frontends, backends);
            let sources = claim.sources.as_ref().map(|numbers| numbers.iter().copied().map(range).collect());
            (name(service), WantedService { flags: ServiceFlags(claim.flags), sources, ..wanted })
        })
        .collect()
}

/// The tables, read back into the form of the wanted table.
pub fn held(maps: &impl Read) -> Table {
    let views = services(maps).expect("memory does not fail");
    let wanted = views.into_iter().map(|view| {
        let backends = view.backends.iter().map(|held| {
            assert_eq!(held.sets, held.state.sets(), "state and sets of {:?}", held.addr);
            WantedBackend { addr: held.addr, port: held.port, local: held.local, state: held.state }
        });
        let wanted = WantedService::new(view.name, view.frontends, backends.collect());
        (wanted.name.clone(), WantedService { flags: view.flags, affinity: view.affinity, sources: view.sources, ..wanted })
    });
    wanted.collect()
}

/// Who each backend is, for those that must stay who they are.
pub fn identities(maps: &impl Read) -> BTreeMap<(ServiceName, Addr), (BackendId, Generation, bool)> {
    let views = services(maps).expect("memory does not fail");
    let all = views.iter().flat_map(|view| view.backends.iter().map(|b| ((view.name, b.addr), (b.id, b.generation, b.local))));
    all.collect()
}

/// Ends all grace periods.
pub fn end_grace<M: crate::maps::Maps>(sync: &mut Sync<M>) {
    while let Some(token) = sync.retired_pending() {
        sync.grace_ended(token);
    }
}

/// With no service left, nothing may be left of any.
pub fn expect_empty(sync: Sync<MemoryMaps>) {
    let (fresh, _) = Sync::adopt(MemoryMaps::new(sync.maps.capacity())).expect("memory does not fail");
    assert_eq!((sync.retired_len(), sync.frontends.len(), sync.services.len()), (0, 0, 0));
    let free = |space: &super::super::space::Space| {
        let numbers = (space.services.available(), space.backends.available(), space.descriptors.available());
        (numbers, space.slots.clone(), space.sources.available())
    };
    assert_eq!(free(&sync.space), free(&fresh.space));
    let maps = sync.into_maps();
    let capacity = maps.capacity();
    assert!((0..capacity.slots).all(|slot| maps.slot(slot) == BackendId::default()));
    assert!((1..capacity.backends).all(|id| bytemuck::bytes_of(&maps.backend(BackendId(id))).iter().all(|byte| *byte == 0)));
    assert!((0..capacity.descriptors).all(|index| maps.descriptor(index) == Default::default()));
    assert!((0..capacity.services).all(|id| maps.name(ServiceId(id)) == ServiceName::zeroed()));
    assert_eq!((maps.in_force().count(), maps.frontends().map(|all| all.len())), (0, Ok(0)));
    assert_eq!(maps.source_ranges(), Ok(Vec::new()));
}

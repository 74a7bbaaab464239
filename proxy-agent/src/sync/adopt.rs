//! What an agent finds in the tables when it starts. Services that are whole stay as they are, ids and all; everything else that is
//! not zero may still be seen by programs, and waits one grace period. No content of the tables can make this fail or panic.

use super::Sync;
use super::frontends::Frontends;
use super::ids::Ids;
use super::plan::{Held, InForce, Service};
use super::range_sets::{self, RangeSets};
use super::ranges::{self, Ranges};
use super::retire::{Retired, Retirements};
use super::space::Space;
use super::write;
use crate::keys::KeyMap;
use crate::maps::{Capacity, MapError, Maps, Partial, Read};
use crate::table::{Age, PortName};
use bytemuck::Zeroable;
use proxy_common::abi::{
    BackendId, BackendState, Descriptor, Frontend, FrontendKey, Generation, RangeSet, ServiceFlags, ServiceId, ServiceName,
    ServiceWord, SlotRange, SourceRange,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Adopted {
    /// Services that stay in force.
    pub services: usize,
    /// Their backends.
    pub backends: usize,
    /// Services that contradict themselves or others and were taken out.
    pub damaged: usize,
}

/// The parts of the tables that services hold, as they are found.
struct Claims {
    services: KeyMap<PortName, Service>,
    ids: HashSet<ServiceId>,
    backends: Vec<bool>,
    descriptors: Vec<bool>,
    slots: Ranges,
    /// Slots that belong to a service.
    held: Vec<bool>,
    stray: Vec<u32>,
    /// Sets of source ranges that services name.
    sources: BTreeSet<RangeSet>,
}

impl<M: Maps> Sync<M> {
    /// Takes over the tables as they are.
    pub fn adopt(mut maps: M) -> Result<(Self, Adopted), MapError> {
        let mut claims = Claims::new(&maps);
        let damaged = maps.in_force().filter(|id| !claims.claim(&maps, *id)).count();
        let mut retired = Retirements::default();
        let frontends = take_frontends(&mut maps, &mut claims)?;
        retire_services(&mut maps, &mut retired, &claims);
        let sources = claims.take_sources(&mut maps, &mut retired)?;
        let space = claims.space(&mut maps, &mut retired, sources);
        let backends = claims.services.values().map(|service| service.backends.len()).sum();
        let adopted = Adopted { services: claims.services.len(), backends, damaged };
        let services = claims.services;
        let rejected = BTreeMap::new();
        Ok((Self { maps, space, services, frontends, retired, rejected, promised: None, crowded: false }, adopted))
    }
}

impl Claims {
    fn new(maps: &impl Read) -> Self {
        Self {
            services: KeyMap::default(),
            ids: HashSet::new(),
            backends: vec![false; maps.capacity().backends as usize],
            descriptors: vec![false; maps.capacity().descriptors as usize],
            slots: Ranges::new(maps.capacity().slots),
            held: vec![false; maps.capacity().slots as usize],
            stray: Vec::new(),
            sources: BTreeSet::new(),
        }
    }

    /// Takes one service in, with all it holds; `false`, and nothing, if that is not sound or somebody else's.
    fn claim(&mut self, maps: &impl Read, id: ServiceId) -> bool {
        let (capacity, name) = (maps.capacity(), maps.name(id));
        let Some(index) = maps.service(id).descriptor() else { return false };
        let descriptor = maps.descriptor(index);
        let Descriptor { first, room, cluster, local, .. } = descriptor;
        let inside =
            |set: SlotRange| set.count == 0 || set.first >= first && set.count <= room && set.first - first <= room - set.count;
        let sound = id != ServiceId::default()
            && name != ServiceName::zeroed()
            && index < capacity.descriptors
            && inside(cluster)
            && inside(local)
            && descriptor.sources.0 < range_sets::end(capacity.descriptors)
            && !self.sources.contains(&descriptor.sources)
            && (room == 0 && first == 0 || room.is_power_of_two() && first.is_multiple_of(room))
            && !self.services.contains_key(&name)
            && !self.descriptors[index as usize];
        if !sound || room != 0 && !self.slots.reserve((first, ranges::order(room))) {
            return false;
        }
        self.held[first as usize..(first + room) as usize].fill(true);
        let backends = self.claim_backends(maps, descriptor);
        self.ids.insert(id);
        self.sources.extend((descriptor.sources != RangeSet::NONE).then_some(descriptor.sources));
        self.descriptors[index as usize] = true;
        let force = InForce { index, descriptor };
        self.services.insert(name.into(), Service { id, age: Age::UNKNOWN, frontends: Vec::new(), backends, force });
        true
    }

    /// Slots that name nobody, somebody else's or the same backend twice are passed over. In a set that connections choose from
    /// they stay until the next change writes another range. A Maglev table names each backend many times; one that is not whole
    /// counts as no set, so that the next change writes another.
    fn claim_backends(&mut self, maps: &impl Read, descriptor: Descriptor) -> Vec<Held> {
        let mut held: Vec<Held> = Vec::new();
        let mut seen = HashSet::new();
        let mut places: HashMap<BackendId, usize> = HashMap::new();
        let (maglev, mut whole) = (descriptor.flags.has(ServiceFlags::MAGLEV), true);
        for slot in descriptor.first..descriptor.first + descriptor.room {
            let (id, sets) = (maps.slot(slot), descriptor.sets_of(slot));
            if let Some(again) = places.get(&id).filter(|_| maglev && sets.is_chosen()) {
                held[*again].sets = held[*again].sets.with(sets);
                continue;
            }
            let backend = maps.backend(id);
            let sound =
                id != BackendId::default() && id.0 < maps.capacity().backends && backend.generation != Generation::default();
            if sound && !self.backends[id.0 as usize] && seen.insert((backend.addr, backend.port)) {
                self.backends[id.0 as usize] = true;
                let (local, state) = (backend.flags.is_local(), maps.backend_state(id));
                places.insert(id, held.len());
                held.push(Held { addr: backend.addr, port: backend.port, local, id, state, sets });
            } else if sets.is_chosen() {
                whole = false;
            } else if id != BackendId::default() {
                self.stray.push(slot);
            }
        }
        if maglev && !whole {
            held.iter_mut().for_each(|held| held.sets = BackendState::default());
        }
        held.sort_unstable_by_key(|held| (held.addr, held.port));
        held
    }

    /// What is free, once everything that nobody claims and that is not zero is on its way out.
    fn space(&mut self, maps: &mut impl Maps, retired: &mut Retirements, sources: RangeSets) -> Space {
        let capacity = maps.capacity();
        let mut generation = maps.backend_state(BackendId::default()).0;
        let (mut backends, mut descriptors) = (Vec::new(), Vec::new());
        for id in (1..capacity.backends).map(BackendId) {
            let backend = maps.backend(id);
            generation = generation.max(backend.generation.0);
            let claimed = self.backends[id.0 as usize];
            let clean =
                || bytemuck::bytes_of(&backend).iter().all(|byte| *byte == 0) && maps.backend_state(id) == BackendState(0);
            if claimed || !clean() {
                backends.push(id.0);
                if !claimed {
                    write::retire_backend(maps, retired, id);
                }
            }
        }
        for index in 0..capacity.descriptors {
            let claimed = self.descriptors[index as usize];
            if claimed || maps.descriptor(index) != Descriptor::default() {
                descriptors.push(index);
                if !claimed {
                    retired.push(Retired::Descriptor(index));
                }
            }
        }
        self.stray.iter().for_each(|slot| maps.set_slot(*slot, BackendId::default()));
        self.retire_slots(maps, retired);
        let mut services: Vec<u32> = self.ids.iter().map(|id| id.0).chain(retired.services()).collect();
        services.sort_unstable();
        Space {
            capacity,
            services: Ids::new(1, capacity.services, &services),
            backends: Ids::new(1, capacity.backends, &backends),
            descriptors: Ids::new(0, capacity.descriptors, &descriptors),
            slots: self.slots.clone(),
            sources,
            generation,
        }
    }

    /// Sets that nobody names wait to be taken out; entries of none that could be named go at once.
    fn take_sources(&self, maps: &mut impl Maps, retired: &mut Retirements) -> Result<RangeSets, MapError> {
        let Capacity { source_ranges, descriptors, .. } = maps.capacity();
        let known = |set: RangeSet| set != RangeSet::NONE && set.0 < range_sets::end(descriptors);
        let (found, beyond): (Vec<SourceRange>, Vec<SourceRange>) =
            maps.source_ranges()?.into_iter().partition(|range| known(range.set()));
        maps.remove_source_ranges(&beyond).map_err(|Partial { error, .. }| error)?;
        // A set without any entry lets nobody in.
        let mut sets: BTreeMap<RangeSet, BTreeSet<SourceRange>> =
            self.sources.iter().map(|set| (*set, BTreeSet::new())).collect();
        found.into_iter().for_each(|range| sets.entry(range.set()).or_default().extend([range]));
        sets.keys().filter(|set| !self.sources.contains(set)).for_each(|set| retired.push_sources(*set));
        Ok(RangeSets::new(source_ranges, descriptors, sets))
    }

    fn retire_slots(&mut self, maps: &impl Read, retired: &mut Retirements) {
        let free = (0..maps.capacity().slots).zip(&self.held).filter(|(_, held)| !**held);
        for (slot, _) in free.filter(|(slot, _)| maps.slot(*slot) != BackendId::default()) {
            if self.slots.reserve((slot, 0)) {
                retired.push(Retired::Slots((slot, 0)));
            }
        }
    }
}

/// Frontends of services that stay; the others go.
fn take_frontends(maps: &mut impl Maps, claims: &mut Claims) -> Result<Frontends, MapError> {
    let mut by_id: HashMap<ServiceId, &mut Service> =
        claims.services.values_mut().map(|service| (service.id, service)).collect();
    let (mut stay, mut go): (Vec<(FrontendKey, Frontend)>, Vec<FrontendKey>) = (Vec::new(), Vec::new());
    for (key, frontend) in maps.frontends()? {
        match by_id.get_mut(&frontend.service) {
            Some(service) => {
                service.frontends.push(key);
                stay.push((key, frontend));
            }
            None => go.push(key),
        }
    }
    by_id.into_values().for_each(|service| service.frontends.sort_unstable());
    go.sort_unstable();
    maps.remove_frontends(&go).map_err(|partial| partial.error)?;
    Ok(Frontends::adopt(stay))
}

/// Words of services that do not stay. A name without a word is what an agent left that was killed before the id was free.
fn retire_services(maps: &mut impl Maps, retired: &mut Retirements, claims: &Claims) {
    for id in (0..maps.capacity().services).map(ServiceId).filter(|id| !claims.ids.contains(id)) {
        let clean = maps.service(id) == ServiceWord::NONE && maps.name(id) == ServiceName::zeroed();
        if clean {
            continue;
        }
        maps.set_service(id, ServiceWord::NONE);
        if id == ServiceId::default() {
            maps.set_name(id, ServiceName::zeroed());
        } else {
            retired.push(Retired::Service(id));
        }
    }
}

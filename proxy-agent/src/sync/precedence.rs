//! Who gets the room of a full table: the oldest (S9). What an older service port lacks is taken from the newest that hold it, and
//! kept for it until a grace period has brought it back. So nodes that are full serve the same Services, whatever came first,
//! and so does one that starts anew.
//!
//! Invariant: nobody is taken out unless that makes room for all that an older one needs.

use super::Sync;
use super::plan::{self, Service};
use super::report::Applied;
use super::retire::Retired;
use super::space::Space;
use crate::maps::{GraceToken, MapError, MapName, Maps, net};
use crate::table::{Age, Change, PortName, WantedBackend, WantedService};
use proxy_common::abi::{Descriptor, RangeSet};

/// The service port for which room has been made, or will come back by itself. Until it has it, no newer one may come in.
#[derive(Clone, Debug)]
pub struct Promise {
    waiting: Waiting,
    /// The grace period that brings the room back.
    due: GraceToken,
}

/// A service port that a table refuses.
#[derive(Clone, Debug)]
struct Waiting {
    age: Age,
    name: PortName,
    map: MapName,
}

/// How many of those that wait are looked at in one pass: each costs some trials.
const LOOK: usize = 16;

/// A service port in the tables.
type Standing<'a> = (&'a PortName, &'a Service);

/// The room that there would be.
#[derive(Clone)]
struct Trial {
    space: Space,
    frontends: usize,
}

impl<M: Maps> Sync<M> {
    /// The table that lacks room for an older one, which a new service port must wait for.
    pub(super) fn is_kept_from(&self, wanted: &WantedService) -> Option<MapName> {
        let Promise { waiting, .. } = self.promised.as_ref()?;
        ((waiting.age, &waiting.name) < (wanted.age, &wanted.name)).then_some(waiting.map)
    }

    /// A service port needs no room any more.
    pub(super) fn keep_promise(&mut self, name: &PortName) {
        self.promised.take_if(|promise| promise.waiting.name == *name);
    }

    /// A promise to one that goes, or that is another of the same name, is void.
    pub(super) fn review_promise(&mut self, changes: &[Change]) {
        let Some(Promise { waiting, .. }) = &self.promised else { return };
        let is_void = changes.iter().any(|change| match change {
            Change::Set(wanted) => wanted.name == waiting.name && wanted.age != waiting.age,
            Change::Remove(name) => *name == waiting.name,
        });
        self.promised.take_if(|_| is_void);
    }

    /// If an older service port waits for room that newer ones hold, takes these out, the newest first. Says whether there may be room
    /// for others now.
    pub(super) fn make_way(&mut self, applied: &mut Applied) -> bool {
        if !std::mem::take(&mut self.crowded) || self.promise_stands() {
            return false;
        }
        let is_broken = self.promised.take().is_some();
        let Some((waiting, names)) = self.first_served() else { return is_broken };
        let freed = self.evict(names, self.space.full(waiting.map), applied);
        self.promised = Some(Promise { waiting, due: self.retired.due() });
        freed
    }

    /// The oldest that can have what it waits for, and who must go for it.
    fn first_served(&self) -> Option<(Waiting, Vec<PortName>)> {
        let waiting = self.waiting();
        let oldest = waiting.first()?;
        let is_newer = |name: &PortName, service: &Service| (service.age, name) > (oldest.age, &oldest.name);
        let mut newest: Vec<Standing<'_>> = self.services.iter().filter(|(name, service)| is_newer(name, service)).collect();
        newest.sort_by(|a, b| (b.1.age, b.0).cmp(&(a.1.age, a.0)));
        let now = Trial::of(self);
        let served = |one: &Waiting| Some((one.clone(), self.in_the_way_of(one, &now, &newest)?));
        waiting.iter().take(LOOK).find_map(served)
    }

    fn promise_stands(&self) -> bool {
        self.promised.as_ref().is_some_and(|Promise { waiting, due }| {
            let refused = self.rejected.get(&waiting.name);
            matches!(refused, Some((Change::Set(_), MapError::Full { .. }))) && !self.retired.has_ended(*due)
        })
    }

    /// Those that wait for room and are older than some that stand, the oldest first.
    fn waiting(&self) -> Vec<Waiting> {
        let newest = self.services.iter().map(|(name, service)| (service.age, name)).max();
        let is_older = |one: &Waiting| newest.is_some_and(|newest| (one.age, &one.name) < newest);
        let mut waiting: Vec<Waiting> =
            self.rejected.iter().filter_map(|(name, refused)| waits(name, refused)).filter(is_older).collect();
        waiting.sort_by(|a, b| (a.age, &a.name).cmp(&(b.age, &b.name)));
        waiting
    }

    /// The newest service ports, as few as make room for one that waits; none of them if only time is missing. `None` if there is no
    /// room for it even without them.
    fn in_the_way_of(&self, waiting: &Waiting, now: &Trial, newest: &[Standing<'_>]) -> Option<Vec<PortName>> {
        let Some((Change::Set(wanted), _)) = self.rejected.get(&waiting.name) else { return None };
        let now = &now.after(self, waiting);
        if now.clone().takes(self, wanted, waiting.map) {
            return (self.retired.len() > 0).then(Vec::new);
        }
        let end = newest.partition_point(|(name, service)| (service.age, *name) > (waiting.age, &waiting.name));
        let newer = &newest[..end];
        let holders: Vec<_> = newer.iter().copied().filter(|(_, service)| service.holds(waiting.map)).collect();
        [&holders[..], newer].into_iter().find_map(|candidates| self.fewest(now, candidates, (wanted, waiting.map)))
    }

    fn fewest(
        &self,
        now: &Trial,
        candidates: &[Standing<'_>],
        (wanted, map): (&WantedService, MapName),
    ) -> Option<Vec<PortName>> {
        let fits = |count: usize| {
            let mut trial = now.clone();
            candidates[..count].iter().for_each(|(_, service)| trial.lose(self, service));
            trial.takes(self, wanted, map)
        };
        if !fits(candidates.len()) {
            return None;
        }
        let (mut too_few, mut enough) = (0, candidates.len());
        while too_few + 1 < enough {
            let middle = too_few.midpoint(enough);
            *(if fits(middle) { &mut enough } else { &mut too_few }) = middle;
        }
        Some(candidates[..enough].iter().map(|(name, _)| (*name).clone()).collect())
    }

    /// Takes service ports out; they wait for room from now on.
    fn evict(&mut self, names: Vec<PortName>, error: MapError, applied: &mut Applied) -> bool {
        let refused: Vec<Change> = names.iter().filter_map(|name| self.as_wanted(name)).map(Change::Set).collect();
        let freed = self.round(names.into_iter().map(Change::Remove).collect(), applied);
        refused.into_iter().for_each(|change| self.reject(change, error, applied));
        freed
    }

    /// A service port that stands, as it was last wanted; `None` if it shall go.
    fn as_wanted(&self, name: &PortName) -> Option<WantedService> {
        match self.rejected.get(name) {
            Some((Change::Set(wanted), _)) => return Some(wanted.clone()),
            Some((Change::Remove(_), _)) => return None,
            None => {}
        }
        let Service { id, age, frontends, backends, force } = self.services.get(name)?;
        let Descriptor { flags, affinity, sources, .. } = force.descriptor;
        let own = frontends.iter().filter(|key| self.frontends.leads_to(key, *id));
        Some(WantedService {
            name: name.clone(),
            age: *age,
            flags,
            affinity: affinity / 1000,
            sources: (sources != RangeSet::NONE)
                .then(|| self.space.sources.entries(sources).filter_map(|range| net(&range)).collect()),
            frontends: own.filter_map(|key| Some((*key, self.frontends.kind(key)?))).collect(),
            backends: backends
                .iter()
                .map(|held| WantedBackend { addr: held.addr, port: held.port, local: held.local, state: held.state })
                .collect(),
        })
    }
}

fn waits(name: &PortName, refused: &(Change, MapError)) -> Option<Waiting> {
    match refused {
        (Change::Set(wanted), MapError::Full { map, .. }) => Some(Waiting { age: wanted.age, name: name.clone(), map: *map }),
        _ => None,
    }
}

impl Service {
    /// Whether it holds room in this table.
    fn holds(&self, map: MapName) -> bool {
        match map {
            MapName::Frontends => !self.frontends.is_empty(),
            MapName::Backends => !self.backends.is_empty(),
            MapName::Slots => self.force.block().is_some(),
            MapName::SourceRanges => self.force.descriptor.sources != RangeSet::NONE,
            _ => true,
        }
    }
}

impl Trial {
    /// What will be free once no program sees any more what was taken out.
    fn of<M: Maps>(sync: &Sync<M>) -> Self {
        let mut space = sync.space.clone();
        sync.retired.all().for_each(|retired| space.give(retired));
        Self { space, frontends: sync.frontends.len() }
    }

    /// The same once older ones that stand, and wait for frontends, have what there is: they take one by one.
    fn after<M: Maps>(&self, sync: &Sync<M>, waiting: &Waiting) -> Self {
        let older = sync.rejected.iter().filter_map(|(name, (change, _))| match change {
            Change::Set(wanted) if (wanted.age, name) < (waiting.age, &waiting.name) => Some(wanted),
            _ => None,
        });
        let stand = older.filter(|wanted| sync.services.contains_key(&wanted.name));
        let lacking: usize = stand.map(|wanted| sync.frontends.absent(&wanted.frontends)).sum();
        Self { frontends: self.frontends + lacking, ..self.clone() }
    }

    fn lose<M: Maps>(&mut self, sync: &Sync<M>, service: &Service) {
        let Service { id, age: _, frontends, backends, force } = service;
        self.space.give(Retired::Service(*id));
        self.space.give(Retired::Descriptor(force.index));
        self.space.give(Retired::Sources(force.descriptor.sources));
        force.block().into_iter().for_each(|block| self.space.give(Retired::Slots(block)));
        backends.iter().for_each(|held| self.space.give(Retired::Backend(held.id)));
        self.frontends -= frontends.iter().filter(|key| sync.frontends.leads_to(key, *id)).count();
    }

    /// A service port that stands gets its endpoints whether there is room for its frontends or not.
    fn takes<M: Maps>(mut self, sync: &Sync<M>, wanted: &WantedService, map: MapName) -> bool {
        let held = sync.services.get(&wanted.name);
        let absent = sync.frontends.absent(&wanted.frontends);
        let frontends = absent == 0 || self.frontends + absent <= self.space.capacity.frontends as usize;
        match held {
            Some(_) if map == MapName::Frontends => frontends,
            Some(_) => plan::plan(&mut self.space, held, wanted).is_ok(),
            None => frontends && plan::plan(&mut self.space, None, wanted).is_ok(),
        }
    }
}

//! [`Sync`]: what stands in the tables, and how a batch of changes gets there. Whatever does not fit is rejected alone: what the
//! tables hold of it stays, unless an older one needs the room, and it is tried again when room comes back.

use super::frontends::{Failure, Frontends};
use super::plan::{self, Plan, Service};
use super::precedence::Promise;
use super::report::{Applied, ChangeKind, Rejection, ServiceChange};
use super::retire::{Retired, Retirements};
use super::space::Space;
use super::write;
use crate::keys::KeyMap;
use crate::maps::{GraceToken, MapError, MapName, Maps};
use crate::table::{Age, Change, PortName, WantedService};
use proxy_common::abi::{BackendId, BackendState, Frontend, FrontendKey, ServiceId, ServiceWord};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The tables that only the agent writes, and all that it knows of them.
#[derive(Debug)]
pub struct Sync<M> {
    pub(super) maps: M,
    pub(super) space: Space,
    pub(super) services: KeyMap<PortName, Service>,
    pub(super) frontends: Frontends,
    pub(super) retired: Retirements,
    pub(super) rejected: BTreeMap<PortName, (Change, MapError)>,
    /// For whom room is kept.
    pub(super) promised: Option<Promise>,
    /// Whether a table refused something since room was last made.
    pub(super) crowded: bool,
}

/// How often a batch tries again what was rejected: once for room that it gave up, and for each that others had to leave. What
/// is still left then is tried with the next.
const PASSES: usize = 8;

/// What a batch of changes has in hand.
#[derive(Default)]
pub(super) struct Round {
    pub steps: Vec<Step>,
    removals: Vec<(PortName, ServiceId)>,
    pub comes: Vec<(FrontendKey, Frontend)>,
    pub goes: Vec<(FrontendKey, ServiceId)>,
}

impl Round {
    /// Nothing yet, with room for what these changes may come to.
    fn of(changes: &[Change]) -> Self {
        let frontends = |change: &Change| if let Change::Set(wanted) = change { wanted.frontends.len() } else { 0 };
        Self {
            steps: Vec::with_capacity(changes.len()),
            comes: Vec::with_capacity(changes.iter().map(frontends).sum()),
            ..Self::default()
        }
    }
}

/// One service port to be set.
pub(super) struct Step {
    pub wanted: WantedService,
    pub plan: Plan,
    change: ServiceChange,
}

impl<M: Maps> Sync<M> {
    /// Brings changes into the tables. Of several to one service port the last counts.
    pub fn apply(&mut self, changes: Vec<Change>) -> Applied {
        let mut applied = Applied::default();
        let mut freed = self.round(changes, &mut applied);
        for _ in 0..PASSES {
            freed |= self.make_way(&mut applied);
            if !freed || self.rejected.is_empty() {
                break;
            }
            freed = false;
            self.round(self.rejected_changes(), &mut applied);
        }
        applied.rejected.retain(|rejection| self.rejected.contains_key(&rejection.name));
        applied
    }

    /// Makes the tables hold exactly what `all` sets: what else they hold goes. For the first full list, after which a service
    /// that went while no agent ran is gone.
    pub fn settle(&mut self, mut all: Vec<Change>) -> Applied {
        if !self.holds_nothing() {
            let said: HashSet<&PortName> = all.iter().map(name_of).collect();
            self.rejected.retain(|name, _| said.contains(name));
            let gone = self.services.keys().filter(|name| !said.contains(name));
            let gone: Vec<Change> = gone.map(|name| Change::Remove(name.clone())).collect();
            all.extend(gone);
        }
        self.apply(all)
    }

    /// Whether no service stands in the tables or waits for room in them.
    pub fn holds_nothing(&self) -> bool {
        self.services.is_empty() && self.rejected.is_empty()
    }

    /// If something was taken out since the last call: begin a grace period, and say [`Sync::grace_ended`] with this token when it
    /// has ended.
    pub fn retired_pending(&mut self) -> Option<GraceToken> {
        self.retired.seal()
    }

    /// No program can see any more what was taken out before the grace period of `token` began: ids, slots and descriptors are
    /// free again, and what was rejected is tried again.
    pub fn grace_ended(&mut self, token: GraceToken) -> Applied {
        let free = self.retired.ended(token);
        let any = !free.is_empty();
        self.release(free);
        if any { self.retry_rejected() } else { Applied::default() }
    }

    /// Whether something failed that is to be tried again.
    pub fn has_failures(&self) -> bool {
        !self.rejected.is_empty() || self.retired.has_put_off()
    }

    /// Tries again what failed.
    pub fn retry(&mut self) -> Applied {
        self.retired.urge();
        self.retry_rejected()
    }

    fn retry_rejected(&mut self) -> Applied {
        self.apply(self.rejected_changes())
    }

    /// What is rejected at present, and why.
    pub fn rejected(&self) -> impl Iterator<Item = Rejection> {
        self.rejected.iter().map(|(name, (_, error))| Rejection { name: name.clone(), error: *error })
    }

    /// The tables.
    pub const fn maps(&self) -> &M {
        &self.maps
    }

    /// The tables alone, as an agent leaves them that ends.
    pub fn into_maps(self) -> M {
        self.maps
    }

    /// How much was taken out and waits for a grace period to end.
    pub fn retired_len(&self) -> usize {
        self.retired.len()
    }

    fn rejected_changes(&self) -> Vec<Change> {
        self.rejected.values().map(|(change, _)| change.clone()).collect()
    }

    /// One pass over `changes`. Says whether FRONTENDS has room that it had not before.
    pub(super) fn round(&mut self, changes: Vec<Change>, applied: &mut Applied) -> bool {
        let mut round = self.prepare(changes, applied);
        self.write_sources(&mut round, applied);
        let closed = self.close(&mut round, applied);
        if round.steps.iter().any(|step| !step.plan.comes.is_empty()) {
            self.maps.set_backend_state(BackendId::default(), BackendState(self.space.generation));
        }
        for step in &round.steps {
            if step.plan.before.is_none() {
                self.maps.set_name(step.plan.id, *step.wanted.name);
            }
            write::write(&mut self.maps, &mut self.retired, &step.plan);
            applied.flips += usize::from(step.plan.flip.is_some());
        }
        let refused = self.frontends.insert(&mut self.maps, &round.comes);
        let stuck = self.frontends.remove(&mut self.maps, &round.goes);
        let freed = closed > 0 || round.goes.len() > stuck.len();
        self.take_over(round, [refused, stuck].concat(), applied);
        freed
    }

    /// Plans all changes, each with the space it needs, before anything is written.
    fn prepare(&mut self, changes: Vec<Change>, applied: &mut Applied) -> Round {
        self.review_promise(&changes);
        let mut round = Round::of(&changes);
        let mut entries = self.frontends.len();
        for change in last_of_each(changes) {
            match change {
                Change::Remove(name) => match self.services.get(&name) {
                    Some(service) => {
                        round.goes.extend(service.frontends.iter().map(|key| (*key, service.id)));
                        round.removals.push((name, service.id));
                    }
                    None => drop(self.rejected.remove(&name)),
                },
                Change::Set(mut wanted) => match self.plan(sorted(&mut wanted), &mut entries) {
                    Ok(plan) => self.step(plan, wanted, &mut round),
                    Err(error) => self.reject(Change::Set(wanted), error, applied),
                },
            }
        }
        round
    }

    /// A new service needs room for its frontends; one that is there gets its endpoints in any case.
    fn plan(&mut self, wanted: &WantedService, entries: &mut usize) -> Result<Plan, MapError> {
        let held = self.services.get(&wanted.name);
        if held.is_some() {
            let plan = plan::plan(&mut self.space, held, wanted)?;
            *entries += self.frontends.absent(&wanted.frontends);
            self.keep_promise(&wanted.name);
            return Ok(plan);
        }
        if let Some(map) = self.is_kept_from(wanted) {
            return Err(self.space.full(map));
        }
        let absent = self.frontends.absent(&wanted.frontends);
        let more = *entries + absent;
        if absent > 0 && more > self.space.capacity.frontends as usize {
            return Err(self.space.full(MapName::Frontends));
        }
        let plan = plan::plan(&mut self.space, None, wanted)?;
        *entries = more;
        self.keep_promise(&wanted.name);
        Ok(plan)
    }

    fn step(&self, plan: Plan, wanted: WantedService, round: &mut Round) {
        let comes = self.frontends.missing(&wanted.frontends, plan.id);
        let goes = self.given_up(&wanted).map(|key| (key, plan.id));
        let goes: Vec<_> = goes.filter(|(key, id)| self.frontends.leads_to(key, *id)).collect();
        let change =
            ServiceChange { frontends_added: comes.len(), frontends_removed: goes.len(), ..plan.change(wanted.name.clone()) };
        round.comes.extend(comes);
        round.goes.extend(goes);
        round.steps.push(Step { wanted, plan, change });
    }

    fn given_up(&self, wanted: &WantedService) -> impl Iterator<Item = FrontendKey> {
        let held = self.services.get(&wanted.name).map_or(&[][..], |service| &service.frontends);
        held.iter().copied().filter(|key| wanted.frontends.binary_search_by_key(key, |(key, _)| *key).is_err())
    }

    /// Takes note of what the tables hold after a round in which some frontends failed.
    fn take_over(&mut self, round: Round, failures: Vec<Failure>, applied: &mut Applied) {
        self.services.reserve(round.steps.iter().filter(|step| step.plan.before.is_none()).count());
        applied.changes.reserve(round.steps.len() + round.removals.len());
        let failed: HashMap<ServiceId, MapError> = failures.iter().map(|(_, id, error)| (*id, *error)).collect();
        for Step { wanted, plan, change } in round.steps {
            let age = wanted.age;
            let mut frontends: Vec<FrontendKey> = wanted.frontends.iter().map(|(key, _)| *key).collect();
            if let Some(error) = failed.get(&plan.id) {
                frontends.extend(failures.iter().filter(|(_, id, _)| *id == plan.id).map(|(key, _, _)| *key));
                frontends.sort_unstable();
                frontends.dedup();
                self.reject(Change::Set(wanted), *error, applied);
            } else if !self.rejected.is_empty() {
                self.rejected.remove(&wanted.name);
            }
            if let Some(force) = plan.flip.or(plan.before) {
                self.services.insert(change.name.clone(), Service { id: plan.id, age, frontends, backends: plan.after, force });
            }
            applied.changes.extend(change.is_any().then_some(change));
        }
        for (name, id) in round.removals {
            match failed.get(&id) {
                Some(error) => self.reject(Change::Remove(name), *error, applied),
                None => self.remove(&name, applied),
            }
        }
    }

    pub(super) fn reject(&mut self, change: Change, error: MapError, applied: &mut Applied) {
        let name = name_of(&change).clone();
        self.crowded |= matches!(error, MapError::Full { .. });
        if let (Change::Set(wanted), Some(held)) = (&change, self.services.get_mut(&name)) {
            held.age = wanted.age;
        }
        if self.rejected.insert(name.clone(), (change, error)).is_none() {
            applied.rejected.push(Rejection { name, error });
        }
    }

    /// The frontends are out: the word, and then all that hung on it.
    fn remove(&mut self, name: &PortName, applied: &mut Applied) {
        let Some(service) = self.services.remove(name) else { return };
        self.rejected.remove(name);
        self.maps.set_service(service.id, ServiceWord::NONE);
        applied.flips += 1;
        self.retired.push(Retired::Service(service.id));
        self.retired.push(Retired::Descriptor(service.force.index));
        write::retired_slots(&mut self.retired, service.force.block());
        self.retired.push_sources(service.force.descriptor.sources);
        service.backends.iter().for_each(|held| write::retire_backend(&mut self.maps, &mut self.retired, held.id));
        applied.changes.push(ServiceChange {
            frontends_removed: service.frontends.len(),
            backends_removed: service.backends.len(),
            ..ServiceChange::new(name.clone(), ChangeKind::Removed)
        });
    }
}

/// As `compile` makes it; the table itself depends on it.
fn sorted(wanted: &mut WantedService) -> &WantedService {
    sort_each_once(&mut wanted.frontends, |(key, _)| *key);
    if let Some(sources) = &mut wanted.sources {
        sort_each_once(sources, |range| *range);
    }
    sort_each_once(&mut wanted.backends, |backend| (backend.addr, backend.port));
    wanted
}

/// Mostly they are sorted already, and then nothing is moved.
fn sort_each_once<T, K: Ord>(all: &mut Vec<T>, key: impl Fn(&T) -> K) {
    if !all.is_sorted_by(|a, b| key(a) < key(b)) {
        all.sort_by_key(&key);
        all.dedup_by_key(|one| key(one));
    }
}

/// In the order of S9, so that the outcome does not depend on the order of arrival: what goes, and then by age and name.
fn last_of_each(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    changes.dedup_by(|later, earlier| {
        let same = name_of(later) == name_of(earlier);
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    changes.sort_by_key(age_of);
    changes
}

const fn age_of(change: &Change) -> Option<Age> {
    match change {
        Change::Set(service) => Some(service.age),
        Change::Remove(_) => None,
    }
}

const fn name_of(change: &Change) -> &PortName {
    match change {
        Change::Set(service) => &service.name,
        Change::Remove(name) => name,
    }
}

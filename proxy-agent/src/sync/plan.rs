//! One service port as it is held against how it shall be: what stays, what comes, what goes, and the space it takes. Pure but for
//! the space, which is taken whole or not at all.

use super::maglev;
use super::ranges::{self, Block};
use super::report::{ChangeKind, ServiceChange};
use super::space::Space;
use crate::maps::MapError;
use crate::table::{Age, PortName, WantedBackend, WantedService};
use proxy_common::abi::{
    Addr, Backend, BackendFlags, BackendId, BackendState, Descriptor, FrontendKey, Generation, Port, RangeSet, ServiceFlags,
    ServiceId, SlotRange,
};

/// A service port as it stands in the tables.
#[derive(Clone, Debug)]
pub struct Service {
    pub id: ServiceId,
    pub age: Age,
    /// What of it stands in FRONTENDS, sorted.
    pub frontends: Vec<FrontendKey>,
    /// Sorted by address and port.
    pub backends: Vec<Held>,
    pub force: InForce,
}

/// A backend as it stands in the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub addr: Addr,
    pub port: Port,
    pub local: bool,
    pub id: BackendId,
    pub state: BackendState,
    /// The sets that it stands in, in SLOTS.
    pub sets: BackendState,
}

/// The descriptor in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InForce {
    pub index: u32,
    pub descriptor: Descriptor,
}

/// How to get from one to the other.
#[derive(Clone, Debug)]
pub struct Plan {
    pub id: ServiceId,
    /// What was in force; `None` for a service that is new.
    pub before: Option<InForce>,
    /// Those that stay and whose state changes.
    pub alters: Vec<Altered>,
    pub comes: Vec<(Held, Generation)>,
    pub goes: Vec<Held>,
    /// All backends as they shall be, sorted.
    pub after: Vec<Held>,
    /// How many of them new connections choose from.
    pub chosen: usize,
    /// What shall be in force; `None` if neither a set nor a flag changes.
    pub flip: Option<InForce>,
}

/// A backend that stays in another state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Altered {
    pub id: BackendId,
    pub before: BackendState,
    pub after: BackendState,
}

/// Compares, and takes the space that the difference needs.
pub fn plan(space: &mut Space, held: Option<&Service>, wanted: &WantedService) -> Result<Plan, MapError> {
    let Merged { mut after, new, alters, goes, places, still, stood } =
        merged(held.map_or(&[], |held| &held.backends), &wanted.backends);
    let before = held.map(|held| held.force);
    let (sources, fresh) = sources(space, before, wanted)?;
    let shape = Shape::of(wanted, places, sources);
    let chosen = shape.chosen();
    let same = before.is_some_and(|force| shape.is_that_of(&force.descriptor) && still == chosen && still == stood);
    let ids = space.backends(new.len()).inspect_err(|_| space.sources.give(fresh))?;
    let mut come = |(&place, &(id, generation)): (&usize, &(BackendId, Generation))| {
        after[place].id = id;
        (after[place], generation)
    };
    let comes: Vec<(Held, Generation)> = new.iter().zip(&ids).map(&mut come).collect();
    let placed = flip(space, before, &shape, same).and_then(|flip| {
        let id = held.map_or_else(|| space.service(), |held| Ok(held.id)).inspect_err(|_| undo_flip(space, flip))?;
        Ok((flip, id))
    });
    match placed {
        Ok((flip, id)) => Ok(Plan { id, before, alters, comes, goes, after, chosen, flip }),
        Err(error) => {
            ids.into_iter().for_each(|(id, _)| space.backends.give(id.0));
            space.sources.give(fresh);
            Err(error)
        }
    }
}

/// The set of source ranges that the service shall have, and that set again if it is not in force.
fn sources(space: &mut Space, before: Option<InForce>, wanted: &WantedService) -> Result<(RangeSet, RangeSet), MapError> {
    let held = before.map_or(RangeSet::NONE, |force| force.descriptor.sources);
    let wanted = wanted.sources.as_deref();
    if space.sources.is(held, wanted) {
        return Ok((held, RangeSet::NONE));
    }
    let fresh = space.sources(wanted, held)?;
    Ok((fresh, fresh))
}

/// Gives back what a plan took that was never written; its source ranges may have been.
pub fn undo(space: &mut Space, plan: &Plan) {
    plan.comes.iter().for_each(|(held, _)| space.backends.give(held.id.0));
    undo_flip(space, plan.flip);
    if plan.before.is_none() {
        space.services.give(plan.id.0);
    }
}

fn flip(space: &mut Space, before: Option<InForce>, shape: &Shape, same: bool) -> Result<Option<InForce>, MapError> {
    if same {
        return Ok(None);
    }
    let index = space.descriptor()?;
    if shape.members == 0 {
        return Ok(Some(InForce {
            index,
            descriptor: Descriptor {
                flags: shape.flags,
                affinity: shape.affinity,
                sources: shape.sources,
                ..Descriptor::default()
            },
        }));
    }
    let held = before.map_or(0, |force| force.descriptor.room);
    let block = space.slots(ranges::order(shape.slots()), held).inspect_err(|_| space.descriptors.give(index))?;
    Ok(Some(InForce { index, descriptor: shape.descriptor(block) }))
}

/// What a descriptor says but for where its slots are: how many backends are in which set, and flags.
struct Shape {
    /// All backends.
    members: u32,
    /// Those in the Cluster set alone.
    cluster_only: u32,
    /// Those in both.
    both: u32,
    /// Those in the Local set alone.
    local_only: u32,
    flags: ServiceFlags,
    /// Milliseconds.
    affinity: u32,
    sources: RangeSet,
}

impl Shape {
    fn of(wanted: &WantedService, places: [u32; PLACES], sources: RangeSet) -> Self {
        let [cluster_only, both, local_only, _] = places;
        Self {
            members: wanted.backends.len() as u32,
            cluster_only,
            both,
            local_only,
            flags: wanted.flags,
            affinity: wanted.affinity.saturating_mul(1000),
            sources,
        }
    }

    const fn chosen(&self) -> usize {
        (self.cluster_only + self.both + self.local_only) as usize
    }

    const fn is_maglev(&self) -> bool {
        self.flags.has(ServiceFlags::MAGLEV)
    }

    /// Lengths of the Cluster set and the Local set, in slots.
    const fn counts(&self) -> (u32, u32) {
        let (cluster, local) = (self.cluster_only + self.both, self.both + self.local_only);
        if self.is_maglev() { (maglev::length(cluster), maglev::length(local)) } else { (cluster, local) }
    }

    /// Slots of all backends.
    const fn slots(&self) -> u32 {
        if !self.is_maglev() {
            return self.members;
        }
        let (cluster, local) = self.counts();
        cluster.saturating_add(local).saturating_add(self.members - self.chosen() as u32)
    }

    /// The sets overlap: who is in both stands in one slot. Those of Maglev don't, since each is a table of its own.
    const fn descriptor(&self, (first, order): Block) -> Descriptor {
        let (cluster, local) = self.counts();
        let local_first = first + if self.is_maglev() { cluster } else { self.cluster_only };
        Descriptor {
            first,
            room: 1 << order,
            cluster: SlotRange { first, count: cluster },
            local: SlotRange { first: local_first, count: local },
            flags: self.flags,
            affinity: self.affinity,
            sources: self.sources,
        }
    }

    /// Whether the descriptor has the same numbers and flags, and room for the others behind its sets.
    fn is_that_of(&self, held: &Descriptor) -> bool {
        let (cluster, local) = self.counts();
        let said = (cluster, local, self.flags, self.affinity, self.sources);
        let others = self.members as usize - self.chosen();
        said == (held.cluster.count, held.local.count, held.flags, held.affinity, held.sources) && held.tail().len() >= others
    }
}

/// How many places there are.
pub const PLACES: usize = 4;

/// Where a backend stands among the slots.
pub const fn place(sets: BackendState) -> usize {
    match sets {
        BackendState::IN_CLUSTER => 0,
        BackendState::IN_BOTH => 1,
        BackendState::IN_LOCAL => 2,
        _ => 3,
    }
}

fn undo_flip(space: &mut Space, flip: Option<InForce>) {
    if let Some(force) = flip {
        space.descriptors.give(force.index);
        if let Some(block) = force.block() {
            space.slots.give(block);
        }
    }
}

/// What stood and what shall stand, in one order.
struct Merged {
    /// All backends as they shall be, sorted; those that are new have no id yet.
    after: Vec<Held>,
    /// Where those are.
    new: Vec<usize>,
    alters: Vec<Altered>,
    goes: Vec<Held>,
    /// How many shall be in each place.
    places: [u32; PLACES],
    /// How many stay in the sets that new connections choose from.
    still: usize,
    /// How many stood in those.
    stood: usize,
}

/// Both sides are sorted by address and port. A backend that moved to or from this node is another one.
fn merged(held: &[Held], wanted: &[WantedBackend]) -> Merged {
    let mut all = Merged {
        after: Vec::with_capacity(wanted.len()),
        new: Vec::with_capacity(wanted.len().saturating_sub(held.len())),
        alters: Vec::new(),
        goes: Vec::new(),
        places: [0; PLACES],
        still: 0,
        stood: held.iter().filter(|held| held.sets.is_chosen()).count(),
    };
    let mut old = held.iter().peekable();
    for backend in wanted {
        all.places[place(backend.state.sets())] += 1;
        let is_same = |held: &&Held| held.addr == backend.addr && held.port == backend.port;
        let mut same = old.next_if(is_same);
        if same.is_none() {
            let is_before = |held: &&Held| (held.addr, held.port) < (backend.addr, backend.port);
            all.goes.extend(std::iter::from_fn(|| old.next_if(is_before)));
            same = old.next_if(is_same);
        }
        match same {
            Some(same) if same.local == backend.local => all.stay(same, backend.state),
            moved => {
                all.goes.extend(moved);
                all.new.push(all.after.len());
                all.after.push(Held::new(backend, BackendId::default()));
            }
        }
    }
    all.goes.extend(old);
    all
}

impl Merged {
    fn stay(&mut self, held: &Held, state: BackendState) {
        let sets = state.sets();
        self.still += usize::from(sets.is_chosen() && held.sets == sets);
        if held.state != state {
            self.alters.push(Altered { id: held.id, before: held.state, after: state });
        }
        self.after.push(Held { state, sets, ..*held });
    }
}

impl Plan {
    /// The set of source ranges that goes, and the one that comes, if another comes into force.
    pub fn sources(&self) -> (RangeSet, RangeSet) {
        let before = self.before.map_or(RangeSet::NONE, |force| force.descriptor.sources);
        let after = self.flip.map_or(before, |force| force.descriptor.sources);
        if before == after { (RangeSet::NONE, RangeSet::NONE) } else { (before, after) }
    }

    /// The difference, but for frontends.
    pub fn change(&self, name: PortName) -> ServiceChange {
        let kind = if self.before.is_some() { ChangeKind::Updated } else { ChangeKind::Added };
        ServiceChange {
            backends_added: self.comes.len(),
            backends_removed: self.goes.len(),
            backends_changed: self.alters.len(),
            chosen: self.chosen,
            ..ServiceChange::new(name, kind)
        }
    }
}

impl Held {
    const fn new(wanted: &WantedBackend, id: BackendId) -> Self {
        let WantedBackend { addr, port, local, state } = *wanted;
        Self { addr, port, local, id, state, sets: state.sets() }
    }

    /// The value in BACKENDS.
    pub fn backend(&self, generation: Generation) -> Backend {
        let flags = if self.local { BackendFlags::LOCAL } else { BackendFlags::default() };
        Backend { addr: self.addr, port: self.port, flags, generation }
    }
}

impl InForce {
    /// The slots that belong to it.
    pub const fn block(&self) -> Option<Block> {
        let Descriptor { first, room, .. } = self.descriptor;
        if room == 0 { None } else { Some((first, ranges::order(room))) }
    }
}

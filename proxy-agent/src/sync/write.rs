//! The order of writes: source ranges, backends and states, slots, descriptor, flip; then states and backends that go. A program that runs at
//! any moment finds the old set or the new one, each complete, and states that say one too many but never one too few.

use super::maglev;
use super::plan::{Altered, Held, PLACES, Plan, place};
use super::ranges::Block;
use super::retire::{Retired, Retirements};
use crate::maps::Maps;
use proxy_common::abi::{Backend, BackendId, BackendState, Descriptor, Generation, ServiceFlags, ServiceWord};
use std::collections::HashSet;

/// Carries a plan out on the mapped tables.
pub fn write(maps: &mut impl Maps, retired: &mut Retirements, plan: &Plan) {
    for (held, generation) in &plan.comes {
        maps.set_backend(held.id, held.backend(*generation));
        maps.set_backend_state(held.id, held.state);
    }
    for Altered { id, before, after } in
        plan.alters.iter().filter(|Altered { before, after, .. }| before.with(*after) != *before)
    {
        maps.set_backend_state(*id, before.with(*after));
    }
    match plan.flip {
        Some(_) => flip(maps, retired, plan),
        None => edit_tail(maps, plan),
    }
    for Altered { id, after, .. } in plan.alters.iter().filter(|Altered { before, after, .. }| before.with(*after) != *after) {
        maps.set_backend_state(*id, *after);
    }
    plan.goes.iter().for_each(|held| retire_backend(maps, retired, held.id));
}

/// Makes a backend gone for everyone who remembers it.
pub fn retire_backend(maps: &mut impl Maps, retired: &mut Retirements, id: BackendId) {
    let held = maps.backend(id);
    maps.set_backend_state(id, BackendState::default());
    maps.set_backend(id, Backend { generation: Generation::default(), ..held });
    retired.push(Retired::Backend(id));
}

fn flip(maps: &mut impl Maps, retired: &mut Retirements, plan: &Plan) {
    let Some(force) = plan.flip else { return };
    let is_maglev = force.descriptor.flags.has(ServiceFlags::MAGLEV);
    let named = if is_maglev { tables(&plan.after) } else { each_once(&force.descriptor, &plan.after) };
    (force.descriptor.first..).zip(named).for_each(|(slot, id)| maps.set_slot(slot, id));
    maps.set_descriptor(force.index, force.descriptor);
    maps.set_service(plan.id, ServiceWord::of(force.index));
    if let Some(before) = plan.before {
        retired.push(Retired::Descriptor(before.index));
        retired_slots(retired, before.block());
        retired.push_sources(plan.sources().0);
    }
}

/// Who is in the Cluster set alone, in both, in the Local set alone, and in none.
fn each_once(descriptor: &Descriptor, after: &[Held]) -> Vec<BackendId> {
    let Descriptor { first, cluster, local, .. } = *descriptor;
    let both = local.first - first;
    let mut next: [u32; PLACES] = [0, both, cluster.count, both + local.count];
    let mut named = vec![BackendId::default(); after.len()];
    for held in after {
        let next = &mut next[place(held.sets)];
        named[*next as usize] = held.id;
        *next += 1;
    }
    named
}

/// The Cluster set's table, the Local set's, and who is in none.
fn tables(after: &[Held]) -> Vec<BackendId> {
    let mut named = Vec::new();
    for set in [BackendState::IN_CLUSTER, BackendState::IN_LOCAL] {
        let members: Vec<&Held> = after.iter().filter(|held| held.sets.has(set)).collect();
        let endpoints: Vec<_> = members.iter().map(|held| (held.addr, held.port)).collect();
        named.extend(maglev::fill(&endpoints).into_iter().map(|index| members[index as usize].id));
    }
    named.extend(after.iter().filter(|held| !held.sets.is_chosen()).map(|held| held.id));
    named
}

/// Retires a service's slots, if it has any.
pub fn retired_slots(retired: &mut Retirements, block: Option<Block>) {
    if let Some(block) = block {
        retired.push(Retired::Slots(block));
    }
}

/// Rewrites the part of the range that no program reads. Whoever stays is named at every moment, so that an agent that is killed
/// meanwhile finds it again.
fn edit_tail(maps: &mut impl Maps, plan: &Plan) {
    let Some(descriptor) = plan.before.map(|force| force.descriptor) else { return };
    if plan.comes.is_empty() && plan.goes.is_empty() {
        return;
    }
    let others = || plan.after.iter().filter(|held| !held.sets.is_chosen()).map(|held| held.id);
    let stay: HashSet<BackendId> = others().collect();
    let tail = descriptor.tail();
    let held: Vec<BackendId> = tail.clone().map(|slot| maps.slot(slot)).collect();
    let named: HashSet<BackendId> = held.iter().copied().collect();
    let kept = held.iter().copied().filter(|id| stay.contains(id));
    let after = kept.chain(others().filter(|id| !named.contains(id))).chain(std::iter::repeat(BackendId::default()));
    for ((slot, before), id) in tail.zip(&held).zip(after) {
        if *before != id {
            maps.set_slot(slot, id);
        }
    }
}

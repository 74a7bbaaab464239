//! Source ranges in a round of changes: what must be in place before the first word flips. A program that runs at any moment finds
//! a load balancer's address with the ranges it had or with those it shall have, or not at all.

use super::Sync;
use super::engine::Round;
use super::plan;
use super::report::Applied;
use super::retire::Retired;
use crate::maps::{MapError, Maps};
use crate::table::Change;
use proxy_common::abi::{FrontendKey, FrontendKind, RangeSet, ServiceId, SourceRange};
use std::collections::HashSet;

impl<M: Maps> Sync<M> {
    /// New sets stand, whole, before a descriptor names them. A service whose set the table does not take stays as it is.
    pub(super) fn write_sources(&mut self, round: &mut Round, applied: &mut Applied) {
        let fresh = round.steps.iter().map(|step| (step.plan.id, step.plan.sources().1));
        let fresh = fresh.flat_map(|(id, set)| self.space.sources.entries(set).map(move |range| (id, range)));
        let (ids, ranges): (Vec<ServiceId>, Vec<SourceRange>) = fresh.unzip();
        let mut at = 0;
        while let Err(partial) = self.maps.insert_source_ranges(&ranges[at..]) {
            at += partial.done;
            let refused = ids[at];
            at += ids[at..].iter().take_while(|id| **id == refused).count();
            self.abandon(round, refused, partial.error, applied);
        }
    }

    /// A load balancer's addresses that a service gives up together with its ranges go first, and were never there with others.
    /// Says how many went.
    pub(super) fn close(&mut self, round: &mut Round, applied: &mut Applied) -> usize {
        let steps = round.steps.iter().filter(|step| step.plan.sources().0 != RangeSet::NONE);
        let changed: HashSet<ServiceId> = steps.map(|step| step.plan.id).collect();
        if changed.is_empty() {
            return 0;
        }
        let balanced = |key: &FrontendKey| self.frontends.kind(key) == Some(FrontendKind::LOAD_BALANCER);
        let goes = std::mem::take(&mut round.goes).into_iter();
        let (first, rest): (Vec<_>, Vec<_>) = goes.partition(|(key, id)| changed.contains(id) && balanced(key));
        round.goes = rest;
        let stuck = self.frontends.remove(&mut self.maps, &first);
        stuck.iter().for_each(|(_, id, error)| self.abandon(round, *id, *error, applied));
        first.len() - stuck.len()
    }

    /// Takes a service out of the round of which nothing is in force yet.
    pub(super) fn abandon(&mut self, round: &mut Round, id: ServiceId, error: MapError, applied: &mut Applied) {
        let Some(at) = round.steps.iter().position(|step| step.plan.id == id) else { return };
        let step = round.steps.remove(at);
        plan::undo(&mut self.space, &step.plan);
        if step.plan.sources().1 != RangeSet::NONE {
            self.retired.put_off(Retired::Sources(step.plan.sources().1));
        }
        round.comes.retain(|(_, frontend)| frontend.service != id);
        round.goes.retain(|(_, service)| *service != id);
        self.reject(Change::Set(step.wanted), error, applied);
    }
}

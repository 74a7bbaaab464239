//! The compiler: compiles the Services that changed and says what differs in the table.

use super::claims::{Claim, Claims};
use super::ports::ports;
use crate::keys::KeyMap;
use crate::state::{RejectReason, Rejection, State};
use crate::table::{Change, PortName, WantedService};
use crate::watch::objects::{Kind, ObjectName};
use proxy_common::abi::{FrontendKey, FrontendKind};
use std::collections::{BTreeMap, BTreeSet};

/// The wanted table as it was last given out, and what conflicts are settled by.
#[derive(Debug, Default)]
pub struct Compiler {
    ports: KeyMap<PortName, Box<Entry>>,
    /// How many of them stand in the table.
    standing: usize,
    by_service: KeyMap<ObjectName, Vec<PortName>>,
    claims: Claims,
    /// Service ports that lost a frontend to another.
    losers: BTreeSet<PortName>,
    rejected: BTreeMap<ObjectName, Vec<RejectReason>>,
}

/// What came of a compilation.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Compiled {
    /// What differs in the table: removals first.
    pub changes: Vec<Change>,
    /// What was left out afresh.
    pub rejected: Vec<Rejection>,
}

/// A service port.
#[derive(Debug)]
struct Entry {
    service: ObjectName,
    claim: Claim,
    /// As it would be if it had all that it claims.
    wanted: WantedService,
    /// What stands in the table; empty = the service port does not.
    frontends: Vec<(FrontendKey, FrontendKind)>,
    /// Whether `wanted` differs from what stands in the table by more than frontends.
    stale: bool,
    /// What it claims and another has.
    lost: Vec<FrontendKey>,
}

impl Compiler {
    /// Compiles these Services.
    pub fn compile(&mut self, state: &State, dirty: &BTreeSet<ObjectName>) -> Compiled {
        let (mut affected, mut compiled) = (Vec::new(), Compiled::default());
        for name in dirty {
            self.compile_one(state, name, &mut affected, &mut compiled);
        }
        affected.sort();
        affected.dedup();
        for name in &affected {
            self.refresh(name, &mut compiled);
        }
        compiled.changes.sort_by_key(|change| matches!(change, Change::Set(_)));
        compiled
    }

    /// All that stands not in the table.
    pub fn rejections(&self) -> impl Iterator<Item = Rejection> {
        let losers = self.losers.iter().filter_map(|name| self.ports.get(name));
        let taken = losers.flat_map(|entry| entry.lost.iter().map(|key| self.taken(entry, *key)));
        let ports =
            self.rejected.iter().flat_map(|(name, reasons)| reasons.iter().map(|reason| rejection(name, reason.clone())));
        ports.chain(taken)
    }

    /// The table as it was last given out.
    pub fn table(&self) -> impl Iterator<Item = WantedService> {
        self.ports.values().filter(|entry| !entry.frontends.is_empty()).map(|entry| entry.given())
    }

    /// How many service ports stand in the table.
    pub const fn standing(&self) -> usize {
        self.standing
    }

    fn taken(&self, entry: &Entry, key: FrontendKey) -> Rejection {
        let owner = self.claims.owner(&key).and_then(|name| self.ports.get(name)).map_or(entry, AsRef::as_ref);
        rejection(&entry.service, RejectReason::Taken { key, owner: owner.service.clone() })
    }

    fn compile_one(&mut self, state: &State, name: &ObjectName, affected: &mut Vec<PortName>, compiled: &mut Compiled) {
        let mut rejected = Vec::new();
        let service = state.service(name);
        let wanted = service.map(|service| ports(state, name, service, &mut rejected)).unwrap_or_default();
        let before = self.by_service.remove(name).unwrap_or_default();
        for gone in before.iter().filter(|key| !wanted.iter().any(|port| port.name == **key)) {
            compiled.changes.extend(self.remove(gone, affected));
        }
        let after: Vec<_> = wanted.into_iter().map(|port| self.set(name, port, affected)).collect();
        if !after.is_empty() {
            self.by_service.insert(name.clone(), after);
        }
        let known = self.rejected.remove(name).unwrap_or_default();
        let fresh = rejected.iter().filter(|reason| !known.contains(reason));
        compiled.rejected.extend(fresh.map(|reason| rejection(name, reason.clone())));
        if !rejected.is_empty() {
            self.rejected.insert(name.clone(), rejected);
        }
    }

    fn set(&mut self, service: &ObjectName, mut wanted: WantedService, affected: &mut Vec<PortName>) -> PortName {
        let before = self.ports.remove_entry(&*wanted.name);
        if let Some((known, _)) = &before {
            wanted.name = known.clone();
        }
        let name = wanted.name.clone();
        let claim = Claim::new(wanted.age, &name);
        let (mut frontends, mut stale, mut lost) = (Vec::new(), true, Vec::new());
        if let Some((_, old)) = before {
            for (key, _) in &old.wanted.frontends {
                if old.claim != claim || !wanted.frontends.iter().any(|(other, _)| other == key) {
                    self.claims.remove(key, &old.claim, affected);
                }
            }
            stale = old.stale || !old.wanted.differs_in_frontends_alone(&wanted);
            (frontends, lost) = (old.frontends, old.lost);
        }
        for (key, _) in &wanted.frontends {
            self.claims.add(*key, claim.clone(), affected);
        }
        affected.push(name.clone());
        self.ports.insert(name.clone(), Box::new(Entry { service: service.clone(), claim, wanted, frontends, stale, lost }));
        name
    }

    fn remove(&mut self, name: &PortName, affected: &mut Vec<PortName>) -> Option<Change> {
        let (name, entry) = self.ports.remove_entry(name)?;
        self.losers.remove(&name);
        for (key, _) in &entry.wanted.frontends {
            self.claims.remove(key, &entry.claim, affected);
        }
        let stood = !entry.frontends.is_empty();
        self.standing -= usize::from(stood);
        stood.then_some(Change::Remove(name))
    }

    /// Gives a service port the frontends that are its own.
    fn refresh(&mut self, name: &PortName, compiled: &mut Compiled) {
        let Some(entry) = self.ports.get_mut(name) else { return };
        let own = |(key, _): &(FrontendKey, FrontendKind)| self.claims.owner(key) == Some(name);
        let claimed = &entry.wanted.frontends;
        let (frontends, lost) =
            if claimed.iter().all(own) { (claimed.clone(), Vec::new()) } else { claimed.iter().partition(|entry| own(entry)) };
        // The ports of a Service share what is left of its ClusterIP: one has it for all.
        let lost = lost.into_iter().filter(|(_, kind)| *kind != FrontendKind::CLUSTER_REST);
        let known = std::mem::replace(&mut entry.lost, lost.map(|(key, _)| key).collect());
        let fresh: Vec<FrontendKey> = entry.lost.iter().filter(|key| !known.contains(key)).copied().collect();
        if frontends != entry.frontends || (entry.stale && !frontends.is_empty()) {
            self.standing = self.standing + usize::from(!frontends.is_empty()) - usize::from(!entry.frontends.is_empty());
            entry.frontends = frontends;
            entry.stale = entry.frontends.is_empty();
            compiled.changes.push(if entry.stale { Change::Remove(name.clone()) } else { Change::Set(entry.given()) });
        }
        if entry.lost.is_empty() {
            self.losers.remove(name);
        } else {
            self.losers.insert(name.clone());
        }
        if let Some(entry) = self.ports.get(name).filter(|_| !fresh.is_empty()) {
            compiled.rejected.extend(fresh.into_iter().map(|key| self.taken(entry, key)));
        }
    }
}

fn rejection(service: &ObjectName, reason: RejectReason) -> Rejection {
    Rejection { kind: Kind::Service, object: service.clone(), service: Some(service.name.clone()), reason, more: 0 }
}

impl Entry {
    /// The service port with the frontends that it has.
    fn given(&self) -> WantedService {
        self.wanted.with_frontends(&self.frontends)
    }
}

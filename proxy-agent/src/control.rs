//! The control plane of one agent: events in, changes of the table out.
//!
//! Invariant: nothing comes out before Services and EndpointSlices have been delivered in full (S11). The work for an event is
//! proportional to what that event changed.

use crate::compile::{Compiler, HealthChecks};
use crate::config::Algorithm;
use crate::state::{HealthCheck, NodeFacts, Rejection, Said, State, WithoutLocal};
use crate::table::{Age, Change, WantedService};
use crate::watch::objects::{Kind, Object, ObjectName};
use crate::watch::{Event, Listing, Subject, Trouble};
use ipnet::IpNet;
use jiff::Timestamp;
use proxy_common::abi::Family;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

/// The control plane of one agent.
#[derive(Debug)]
pub struct Control {
    state: State,
    compiler: Compiler,
    dirty: BTreeSet<ObjectName>,
    synced: BTreeSet<Kind>,
    listings: BTreeMap<Kind, Listing>,
    node_given: NodeFacts,
    cidrs_given: Option<Vec<IpNet>>,
    /// Whether a ServiceCIDR may have changed since they were last given.
    cidrs_dirty: bool,
    troubles: BTreeMap<Subject, Troubled>,
    triggers: Vec<(Family, Timestamp)>,
    health_checks: HealthChecks,
    /// Of Services that have any; by family.
    without_local: BTreeMap<ObjectName, [WithoutLocal; 2]>,
    pending: Pending,
    counts: Counts,
    /// What was said of objects, lately.
    said: Said,
}

/// A trouble and since when it lasts.
#[derive(Clone, Debug)]
pub struct Troubled {
    /// What is wrong.
    pub trouble: Trouble,
    /// Since when.
    pub since: Instant,
}

/// Events that no [`Control::take_changes`] has covered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// Events of Services.
    pub services: u64,
    /// Events of EndpointSlices.
    pub slices: u64,
    /// When the oldest came (S52).
    pub since: Option<Instant>,
}

/// What has happened since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Events of Services.
    pub services: u64,
    /// Events of EndpointSlices.
    pub slices: u64,
    /// Rejections by label of the reason.
    pub rejections: BTreeMap<&'static str, u64>,
    /// Troubles, however long they lasted.
    pub troubles: u64,
    /// Objects that were another one than before.
    pub changes: u64,
}

impl Control {
    /// Knows nothing yet, on the node with this name.
    pub fn new(node_name: &str) -> Self {
        Self {
            state: State::new(node_name),
            compiler: Compiler::default(),
            dirty: BTreeSet::new(),
            synced: BTreeSet::new(),
            listings: BTreeMap::new(),
            node_given: NodeFacts::default(),
            cidrs_given: None,
            cidrs_dirty: true,
            troubles: BTreeMap::new(),
            triggers: Vec::new(),
            health_checks: HealthChecks::default(),
            without_local: BTreeMap::new(),
            pending: Pending::default(),
            counts: Counts::default(),
            said: Said::default(),
        }
    }

    /// The same, where Services that name no algorithm have this one (S20).
    #[must_use]
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { state: self.state.with_algorithm(algorithm), ..self }
    }

    /// Takes in an event that came at `now`.
    pub fn on_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Apply(object) => self.apply(&object, now),
            Event::Delete(kind, name) => {
                self.state.delete(kind, &name, &mut self.dirty);
                self.counts.changes += 1;
                self.count(kind, now);
            }
            Event::Listed(kind, listing) => {
                if self.listings.insert(kind, listing) != Some(listing) {
                    tracing::debug!(%kind, %listing, "this is how the API lists them");
                }
            }
            Event::Synced(kind) => {
                if self.synced.insert(kind) {
                    tracing::info!(%kind, "listed in full");
                }
            }
            Event::Trouble(subject, trouble) => self.trouble(subject, trouble, now),
            Event::Recovered(subject) => {
                if self.troubles.remove(&subject).is_some() {
                    tracing::info!(%subject, "is well again");
                }
            }
        }
    }

    /// Takes in the addresses of this node's devices.
    pub fn set_device_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.state.set_device_addresses(addresses, &mut self.dirty);
    }

    /// Whether something is to be compiled.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether Services and EndpointSlices have been delivered in full (S11).
    pub fn synced(&self) -> bool {
        [Kind::Service, Kind::EndpointSlice].iter().all(|kind| self.synced.contains(kind))
    }

    /// Whether, moreover, nothing is hidden in manifests that could never be read: before that, a service that stands in the tables
    /// and was not delivered may well be wanted.
    pub fn complete(&self) -> bool {
        let hidden = |subject: &Subject| matches!(subject, Subject::File(_) | Subject::Folder(_));
        self.synced() && !self.troubles.keys().any(hidden)
    }

    /// What differs in the table since the last call; nothing before [`Self::synced`].
    pub fn take_changes(&mut self) -> Vec<Change> {
        if !self.synced() {
            return Vec::new();
        }
        self.pending = Pending::default();
        let dirty = std::mem::take(&mut self.dirty);
        let compiled = self.compiler.compile(&self.state, &dirty);
        compiled.rejected.iter().for_each(|rejection| self.log_rejection(rejection));
        for name in &dirty {
            self.note_local(name);
        }
        self.health_checks.settle().iter().for_each(|rejection| self.log_rejection(rejection));
        compiled.changes
    }

    /// The Node object's facts if they changed since the last call.
    pub fn take_node(&mut self) -> Option<NodeFacts> {
        if self.node_given == *self.state.node() {
            return None;
        }
        self.node_given = self.state.node().clone();
        Some(self.node_given.clone())
    }

    /// The prefixes of ServiceCIDRs if they changed since the last call; nothing before all of these have been delivered. No prefix
    /// means that what is configured counts.
    pub fn take_service_cidrs(&mut self) -> Option<Vec<IpNet>> {
        if !self.cidrs_dirty || !self.listed(Kind::ServiceCidr) {
            return None;
        }
        self.cidrs_dirty = false;
        let cidrs = self.state.service_cidrs();
        if self.cidrs_given.as_ref() == Some(&cidrs) {
            return None;
        }
        self.cidrs_given = Some(cidrs.clone());
        Some(cidrs)
    }

    /// When the causes of changed slices happened, as the slice controller says (§7), since the last call.
    pub fn take_triggers(&mut self) -> Vec<(Family, Timestamp)> {
        std::mem::take(&mut self.triggers)
    }

    /// Events that no [`Self::take_changes`] has covered yet.
    pub const fn pending(&self) -> Pending {
        self.pending
    }

    /// The health checks that load balancers ask for.
    pub const fn health_checks(&self) -> &HealthChecks {
        &self.health_checks
    }

    /// Those that changed since the last call, by Service; none = the Service asks for none, or another has its port.
    pub fn take_health_checks(&mut self) -> Vec<(ObjectName, Vec<HealthCheck>)> {
        self.health_checks.take_changed()
    }

    /// How many service ports stand in the table.
    pub const fn service_ports(&self) -> usize {
        self.compiler.standing()
    }

    /// How many service ports of a family have a policy Local and no endpoint here.
    pub fn without_local(&self, family: Family) -> WithoutLocal {
        self.without_local.values().map(|of| of[family as usize]).fold(WithoutLocal::default(), |sum, of| WithoutLocal {
            internal: sum.internal + of.internal,
            external: sum.external + of.external,
        })
    }

    /// What is known of this node.
    pub const fn node(&self) -> &NodeFacts {
        self.state.node()
    }

    /// Whether a kind has been listed in full.
    pub fn listed(&self, kind: Kind) -> bool {
        self.synced.contains(&kind)
    }

    /// How the API lists each kind; nothing of a folder of manifests.
    pub const fn listings(&self) -> &BTreeMap<Kind, Listing> {
        &self.listings
    }

    /// What has happened since the start.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What keeps the source from seeing all there is.
    pub const fn troubles(&self) -> &BTreeMap<Subject, Troubled> {
        &self.troubles
    }

    /// All that is left out of the table, in the order of objects.
    pub fn rejections(&self) -> Vec<Rejection> {
        let settled = self.compiler.rejections().chain(self.health_checks.rejections());
        let mut all: Vec<_> = self.state.rejections().cloned().chain(settled).collect();
        all.sort();
        all
    }

    /// The wanted table as [`Self::take_changes`] last left it.
    pub fn table(&self) -> impl Iterator<Item = WantedService> {
        self.compiler.table()
    }

    fn apply(&mut self, object: &Object, now: Instant) {
        let taken = self.state.apply(object, &mut self.dirty);
        self.counts.changes += u64::from(taken.changed);
        taken.rejected.iter().for_each(|rejection| self.log_rejection(rejection));
        if let Object::EndpointSlice(slice) = object
            && taken.changed
        {
            self.triggers.extend(slice.trigger());
        }
        self.count(object.kind(), now);
    }

    fn count(&mut self, kind: Kind, now: Instant) {
        let (pending, count) = match kind {
            Kind::Service => (&mut self.pending.services, &mut self.counts.services),
            Kind::EndpointSlice => (&mut self.pending.slices, &mut self.counts.slices),
            Kind::Node => return,
            Kind::ServiceCidr => {
                self.cidrs_dirty = true;
                return;
            }
        };
        *pending += 1;
        *count += 1;
        self.pending.since.get_or_insert(now);
    }

    fn trouble(&mut self, subject: Subject, trouble: Trouble, now: Instant) {
        let known = self.troubles.get_mut(&subject);
        if known.as_ref().is_some_and(|known| known.trouble == trouble) {
            return;
        }
        tracing::warn!(%subject, "{trouble}");
        self.counts.troubles += 1;
        match known {
            Some(known) => known.trouble = trouble,
            None => drop(self.troubles.insert(subject, Troubled { trouble, since: now })),
        }
    }

    /// Says it, unless that was done lately.
    fn log_rejection(&mut self, rejection: &Rejection) {
        if !self.said.is_new(rejection) {
            return;
        }
        *self.counts.rejections.entry(rejection.reason.label()).or_default() += 1;
        let left_out = if rejection.reason.is_left_out() { "left out: " } else { "" };
        tracing::warn!(reason = rejection.reason.label(), "{left_out}{rejection}");
    }

    fn note_local(&mut self, name: &ObjectName) {
        let age = Age::from(self.state.service(name).and_then(|service| service.created));
        self.health_checks.set(name, age, self.state.health_checks(name));
        let without = self.state.without_local(name);
        if without == <[WithoutLocal; 2]>::default() {
            self.without_local.remove(name);
        } else {
            self.without_local.insert(name.clone(), without);
        }
    }
}

//! All facts, and which Services an object touches.

use super::node::{self, NodeFacts};
use super::rejection::{RejectReason, Rejection, summarise};
use super::service::{self, Service};
use super::service_cidr::{self, ServiceCidr, ServiceCidrs};
use super::slice::{self, Slice};
use super::slices::Slices;
use crate::config::Algorithm;
use crate::keys::KeyMap;
use crate::watch::objects::{Kind, Object, ObjectName};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What came of an object.
#[derive(Debug)]
pub struct Taken {
    /// Whether a fact is another now.
    pub changed: bool,
    /// What was left out afresh.
    pub rejected: Vec<Rejection>,
}

/// All facts.
#[derive(Debug, Default)]
pub struct State {
    node_name: String,
    /// Of Services that name none.
    algorithm: Algorithm,
    services: KeyMap<ObjectName, Box<Service>>,
    /// Those with source ranges, which this node's addresses concern.
    restricted: BTreeSet<ObjectName>,
    slices: KeyMap<ObjectName, Slices>,
    /// The Service of each slice.
    homes: KeyMap<ObjectName, ObjectName>,
    node: NodeFacts,
    /// The addresses of this node's devices.
    device_addresses: Vec<IpAddr>,
    service_cidrs: ServiceCidrs,
    rejections: BTreeMap<(Kind, ObjectName), Vec<Rejection>>,
}

impl State {
    /// No facts, on the node with this name.
    pub fn new(node_name: &str) -> Self {
        Self { node_name: node_name.into(), ..Self::default() }
    }

    /// The same, where Services that name no algorithm have this one (S20).
    #[must_use]
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// How the endpoints of Services are chosen that name no algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Takes in an object. The Services that it touches become dirty.
    pub fn apply(&mut self, object: &Object, dirty: &mut BTreeSet<ObjectName>) -> Taken {
        let name = object.name();
        let mut reasons = Vec::new();
        let changed = match object {
            Object::Service(raw) => self.set_service(&name, service::service(raw, &mut reasons), dirty),
            Object::EndpointSlice(raw) => {
                let slice = slice::slice(raw, &self.node_name, &mut reasons);
                self.set_slice(&name, slice, dirty)
            }
            Object::Node(raw) => *name.name == *self.node_name && self.set_node(node::node(raw, &mut reasons), dirty),
            Object::ServiceCidr(raw) => self.set_service_cidr(&name.name, service_cidr::service_cidr(raw, &mut reasons)),
        };
        let service = match object {
            Object::Service(_) => Some(name.name.clone()),
            Object::EndpointSlice(raw) => slice::service_name(raw).map(Arc::from),
            Object::Node(_) | Object::ServiceCidr(_) => None,
        };
        Taken { changed, rejected: self.reject(object.kind(), name, service.as_ref(), reasons) }
    }

    /// Forgets an object. The Services that it touched become dirty.
    pub fn delete(&mut self, kind: Kind, name: &ObjectName, dirty: &mut BTreeSet<ObjectName>) {
        match kind {
            Kind::Service => drop(self.set_service(name, None, dirty)),
            Kind::EndpointSlice => drop(self.set_slice(name, None, dirty)),
            Kind::Node if *name.name == *self.node_name => drop(self.set_node(self.node.gone(), dirty)),
            Kind::Node => {}
            Kind::ServiceCidr => drop(self.service_cidrs.remove(&name.name)),
        }
        self.rejections.remove(&(kind, name.clone()));
    }

    /// A Service.
    pub fn service(&self, name: &ObjectName) -> Option<&Service> {
        self.services.get(name).map(AsRef::as_ref)
    }

    /// The slices of a Service.
    pub fn slices(&self, service: &ObjectName) -> Option<&Slices> {
        self.slices.get(service)
    }

    /// This node.
    pub const fn node(&self) -> &NodeFacts {
        &self.node
    }

    /// Takes in the addresses of this node's devices. The Services that they touch become dirty (S24).
    pub fn set_device_addresses(&mut self, addresses: Vec<IpAddr>, dirty: &mut BTreeSet<ObjectName>) {
        if self.device_addresses != addresses {
            self.device_addresses = addresses;
            self.touch_restricted(dirty);
        }
    }

    /// This node's addresses: those of its devices, and those that its Node object names.
    pub fn node_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.device_addresses.iter().chain(&self.node.addresses).copied()
    }

    /// The prefixes of ServiceCIDRs, those of the oldest first.
    pub fn service_cidrs(&self) -> Vec<IpNet> {
        service_cidr::prefixes(&self.service_cidrs)
    }

    /// What was left out, by object.
    pub fn rejections(&self) -> impl Iterator<Item = &Rejection> {
        self.rejections.values().flatten()
    }

    /// Another zone concerns the Services of which an endpoint names zones (S19), other addresses those with source ranges (S24).
    fn set_node(&mut self, node: NodeFacts, dirty: &mut BTreeSet<ObjectName>) -> bool {
        let before = std::mem::replace(&mut self.node, node);
        if before.zone != self.node.zone {
            let named = |slice: &Slice| slice.endpoints.iter().any(|endpoint| !endpoint.for_zones.is_empty());
            let concerned = self.slices.iter().filter(|(_, slices)| slices.values().any(named));
            dirty.extend(concerned.map(|(name, _)| name.clone()));
        }
        if before.addresses != self.node.addresses {
            self.touch_restricted(dirty);
        }
        before != self.node
    }

    fn touch_restricted(&self, dirty: &mut BTreeSet<ObjectName>) {
        dirty.extend(self.restricted.iter().cloned());
    }

    fn set_service_cidr(&mut self, name: &Arc<str>, cidr: ServiceCidr) -> bool {
        let changed = self.service_cidrs.get(name) != Some(&cidr);
        self.service_cidrs.insert(name.clone(), cidr);
        changed
    }

    fn set_service(&mut self, name: &ObjectName, service: Option<Service>, dirty: &mut BTreeSet<ObjectName>) -> bool {
        if self.service(name) == service.as_ref() {
            return false;
        }
        if service.as_ref().is_some_and(|service| !service.source_ranges.is_empty()) {
            self.restricted.insert(name.clone());
        } else {
            self.restricted.remove(name);
        }
        match service {
            Some(service) => self.services.insert(name.clone(), Box::new(service)),
            None => self.services.remove(name),
        };
        dirty.insert(name.clone());
        true
    }

    fn set_slice(&mut self, name: &ObjectName, slice: Option<Slice>, dirty: &mut BTreeSet<ObjectName>) -> bool {
        let before = self.homes.get(name);
        if before.and_then(|home| self.slices.get(home)?.get(&name.name)) == slice.as_ref() {
            return false;
        }
        if let Some(home) = self.homes.remove(name) {
            self.take_slice(&home, &name.name);
            dirty.insert(home);
        }
        if let Some(slice) = slice {
            let home = slice.service.clone();
            self.slices.entry(home.clone()).or_default().insert(name.name.clone(), slice);
            self.homes.insert(name.clone(), home.clone());
            dirty.insert(home);
        }
        true
    }

    fn take_slice(&mut self, home: &ObjectName, name: &str) {
        if let Some(slices) = self.slices.get_mut(home) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices.remove(home);
            }
        }
    }

    /// Puts in force what is left out of an object, and says what of it was not said before.
    fn reject(
        &mut self,
        kind: Kind,
        name: ObjectName,
        service: Option<&Arc<str>>,
        reasons: Vec<RejectReason>,
    ) -> Vec<Rejection> {
        let after = summarise(kind, &name, service, reasons);
        let key = (kind, name);
        let before = self.rejections.remove(&key).unwrap_or_default();
        if after.is_empty() {
            return Vec::new();
        }
        let is_known = |rejection: &Rejection| before.iter().any(|known| known.reason == rejection.reason);
        let fresh = after.iter().filter(|rejection| !is_known(rejection)).cloned().collect();
        self.rejections.insert(key, after);
        fresh
    }
}

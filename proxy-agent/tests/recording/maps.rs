//! Tables that write down each operation in the order in which it was issued, in words that name no allocated id.

use proxy_agent::maps::{Capacity, MapError, Maps, Partial, Read, net};
use proxy_common::abi::{
    Backend, BackendId, BackendState, Descriptor, Frontend, FrontendKey, Generation, RangeSet, ServiceFlags, ServiceId,
    ServiceName, ServiceWord, SourceRange,
};
use std::collections::HashMap;
use std::net::SocketAddr;

/// A body around another one.
pub struct Recording<M> {
    inner: M,
    lines: Vec<String>,
    /// Whom ids stand for, or stood for last.
    services: HashMap<ServiceId, String>,
    backends: HashMap<BackendId, String>,
}

impl<M> Recording<M> {
    /// Nothing has happened yet.
    pub fn new(inner: M) -> Self {
        Self { inner, lines: Vec::new(), services: HashMap::new(), backends: HashMap::new() }
    }

    /// The tables within.
    pub fn inner(&self) -> &M {
        &self.inner
    }

    /// What was issued so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    fn note(&mut self, line: String) {
        self.lines.push(line);
    }

    fn service_name(&self, id: ServiceId) -> &str {
        self.services.get(&id).map_or("nobody", String::as_str)
    }

    fn backend_name(&self, id: BackendId) -> &str {
        self.backends.get(&id).map_or("nobody", String::as_str)
    }
}

impl<M: Read> Read for Recording<M> {
    fn capacity(&self) -> Capacity {
        self.inner.capacity()
    }

    fn service(&self, id: ServiceId) -> ServiceWord {
        self.inner.service(id)
    }

    fn descriptor(&self, index: u32) -> Descriptor {
        self.inner.descriptor(index)
    }

    fn slot(&self, index: u32) -> BackendId {
        self.inner.slot(index)
    }

    fn backend(&self, id: BackendId) -> Backend {
        self.inner.backend(id)
    }

    fn backend_state(&self, id: BackendId) -> BackendState {
        self.inner.backend_state(id)
    }

    fn name(&self, id: ServiceId) -> ServiceName {
        self.inner.name(id)
    }

    fn frontends(&self) -> Result<Vec<(FrontendKey, Frontend)>, MapError> {
        self.inner.frontends()
    }

    fn source_ranges(&self) -> Result<Vec<SourceRange>, MapError> {
        self.inner.source_ranges()
    }
}

impl<M: Maps> Maps for Recording<M> {
    fn set_service(&mut self, id: ServiceId, word: ServiceWord) {
        let name = self.service_name(id);
        self.note(if word == ServiceWord::NONE { format!("flip {name}: out of force") } else { format!("flip {name}") });
        self.inner.set_service(id, word);
    }

    fn set_descriptor(&mut self, index: u32, descriptor: Descriptor) {
        self.note(describe(&descriptor));
        self.inner.set_descriptor(index, descriptor);
    }

    fn set_slot(&mut self, index: u32, backend: BackendId) {
        let line =
            if backend == BackendId::default() { "slot free".into() } else { format!("slot {}", self.backend_name(backend)) };
        self.note(line);
        self.inner.set_slot(index, backend);
    }

    fn set_backend(&mut self, id: BackendId, backend: Backend) {
        let before = self.inner.backend(id);
        if backend.generation != Generation::default() {
            let address = SocketAddr::new(backend.addr.into(), backend.port.number()).to_string();
            self.note(format!("backend {address} written"));
            self.backends.insert(id, address);
        } else {
            let what = if before.generation == Generation::default() { "free" } else { "gone" };
            self.note(format!("backend {} {what}", self.backend_name(id)));
        }
        self.inner.set_backend(id, backend);
    }

    fn set_backend_state(&mut self, id: BackendId, state: BackendState) {
        let line = if id == BackendId::default() {
            "last generation noted".into()
        } else {
            format!("state {}: {}", self.backend_name(id), words(state))
        };
        self.note(line);
        self.inner.set_backend_state(id, state);
    }

    fn set_name(&mut self, id: ServiceId, name: ServiceName) {
        if name.proto.name().is_some() {
            let text = crate::name(&name);
            self.note(format!("name {text}"));
            self.services.insert(id, text);
        } else {
            self.note(format!("name {} free", self.service_name(id)));
        }
        self.inner.set_name(id, name);
    }

    fn insert_frontends(&mut self, entries: &[(FrontendKey, Frontend)]) -> Result<(), Partial> {
        for (key, frontend) in entries {
            self.note(format!("frontend {} leads to {}", dialled(key), self.service_name(frontend.service)));
        }
        self.inner.insert_frontends(entries)
    }

    fn remove_frontends(&mut self, keys: &[FrontendKey]) -> Result<(), Partial> {
        keys.iter().for_each(|key| self.note(format!("frontend {} gone", dialled(key))));
        self.inner.remove_frontends(keys)
    }

    fn insert_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        ranges.iter().for_each(|range| self.note(format!("source range {} written", prefix(range))));
        self.inner.insert_source_ranges(ranges)
    }

    fn remove_source_ranges(&mut self, ranges: &[SourceRange]) -> Result<(), Partial> {
        ranges.iter().for_each(|range| self.note(format!("source range {} gone", prefix(range))));
        self.inner.remove_source_ranges(ranges)
    }

    fn clear_counters(&mut self, ids: &[ServiceId]) -> Result<(), Partial> {
        ids.iter().for_each(|id| self.note(format!("counter {} zero", self.service_name(*id))));
        self.inner.clear_counters(ids)
    }
}

fn dialled(key: &FrontendKey) -> String {
    let address = SocketAddr::new(key.addr.into(), key.port.number());
    key.proto.name().map_or_else(|| format!("{} else", address.ip()), |proto| format!("{address} {proto}"))
}

fn describe(descriptor: &Descriptor) -> String {
    if *descriptor == Descriptor::default() {
        return "descriptor zero".into();
    }
    let local = descriptor.flags.has(ServiceFlags::INTERNAL_LOCAL) || descriptor.flags.has(ServiceFlags::EXTERNAL_LOCAL);
    let local = if local { format!(", Local {}", descriptor.local.count) } else { String::new() };
    let sources = if descriptor.sources == RangeSet::NONE { "" } else { ", source ranges" };
    let maglev = if descriptor.flags.has(ServiceFlags::MAGLEV) { ", Maglev" } else { "" };
    let affinity =
        if descriptor.affinity == 0 { String::new() } else { format!(", affinity {} s", descriptor.affinity / 1000) };
    format!("descriptor: Cluster {}{local}{maglev}{affinity}{sources}", descriptor.cluster.count)
}

fn prefix(range: &SourceRange) -> String {
    net(range).map_or_else(|| "unknown".into(), |net| net.to_string())
}

fn words(state: BackendState) -> String {
    let all = [(BackendState::SERVING, "serving"), (BackendState::IN_CLUSTER, "Cluster"), (BackendState::IN_LOCAL, "Local")];
    let held: Vec<&str> = all.into_iter().filter(|(flag, _)| state.has(*flag)).map(|(_, word)| word).collect();
    if held.is_empty() { "none".into() } else { held.join(", ") }
}

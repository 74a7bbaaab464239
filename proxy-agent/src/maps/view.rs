//! The tables as operators read them: services with what clients dial and where that leads. It takes the way a program takes, so
//! what is not reachable is not shown.

use super::net::net;
use super::{MapError, Read};
use ipnet::IpNet;
use proxy_common::abi::{
    Addr, BackendId, BackendState, Descriptor, FrontendKey, FrontendKind, Generation, Port, RangeSet, ServiceFlags, ServiceId,
    ServiceName,
};
use std::collections::HashMap;

/// One service port in one family, as it is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// Its name.
    pub name: ServiceName,
    /// Which set serves whom, and what an empty one means.
    pub flags: ServiceFlags,
    /// How long a client keeps its backend, in seconds (S43); 0 = not at all.
    pub affinity: u32,
    /// Who may dial its load balancer's addresses, sorted (S24); `None` = everybody.
    pub sources: Option<Vec<IpNet>>,
    /// What clients dial, sorted.
    pub frontends: Vec<(FrontendKey, FrontendKind)>,
    /// Its endpoints, sorted by address and port.
    pub backends: Vec<BackendView>,
}

/// One endpoint of a service port, as it is in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackendView {
    /// Its id.
    pub id: BackendId,
    /// Which user of the id it is.
    pub generation: Generation,
    /// Its address.
    pub addr: Addr,
    /// Its port.
    pub port: Port,
    /// Whether it runs on this node.
    pub local: bool,
    /// Its state.
    pub state: BackendState,
    /// The sets that it stands in, in SLOTS.
    pub sets: BackendState,
}

/// All services in force, sorted by name.
pub fn services(tables: &impl Read) -> Result<Vec<ServiceView>, MapError> {
    let mut frontends: HashMap<ServiceId, Vec<(FrontendKey, FrontendKind)>> = HashMap::new();
    for (key, frontend) in tables.frontends()? {
        frontends.entry(frontend.service).or_default().push((key, frontend.kind));
    }
    let mut ranges: HashMap<RangeSet, Vec<IpNet>> = HashMap::new();
    for range in tables.source_ranges()? {
        ranges.entry(range.set()).or_default().extend(net(&range));
    }
    let mut views: Vec<ServiceView> = tables
        .in_force()
        .map(|id| {
            let mut frontends = frontends.remove(&id).unwrap_or_default();
            frontends.sort_unstable();
            let descriptor = tables.service(id).descriptor().map(|index| tables.descriptor(index)).unwrap_or_default();
            let affinity = descriptor.affinity / 1000;
            let sources = (descriptor.sources != RangeSet::NONE).then(|| {
                let mut nets = ranges.remove(&descriptor.sources).unwrap_or_default();
                nets.sort_unstable();
                nets
            });
            ServiceView {
                id,
                name: tables.name(id),
                flags: descriptor.flags,
                affinity,
                sources,
                frontends,
                backends: backends(tables, &descriptor),
            }
        })
        .collect();
    views.sort_unstable_by_key(|view| (view.name, view.id));
    Ok(views)
}

fn backends(tables: &impl Read, descriptor: &Descriptor) -> Vec<BackendView> {
    let first = descriptor.first.min(tables.capacity().slots);
    let end = first.saturating_add(descriptor.room).min(tables.capacity().slots);
    let mut views: Vec<BackendView> =
        (first..end).filter_map(|slot| backend(tables, tables.slot(slot), descriptor.sets_of(slot))).collect();
    views.sort_unstable_by_key(|view| (view.addr, view.port, view.id));
    // A Maglev table names each backend many times.
    views.dedup_by(|again, first| {
        let same = again.id == first.id;
        if same {
            first.sets = first.sets.with(again.sets);
        }
        same
    });
    views
}

fn backend(tables: &impl Read, id: BackendId, sets: BackendState) -> Option<BackendView> {
    let held = tables.backend(id);
    (id != BackendId::default() && held.generation != Generation::default()).then(|| BackendView {
        id,
        generation: held.generation,
        addr: held.addr,
        port: held.port,
        local: held.flags.is_local(),
        state: tables.backend_state(id),
        sets,
    })
}

//! The endpoints of one service port in one family, and the sets they are in.

use super::topology::Topology;
use crate::state::{Endpoint, Slices};
use crate::table::WantedBackend;
use proxy_common::abi::{Addr, BackendState, Family, Port, Proto};

/// Endpoints sorted by address and port, each once.
pub type Endpoints<'a> = Vec<(Addr, Port, &'a Endpoint)>;

/// Which sets are asked for (S15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needed {
    /// The Cluster set.
    pub cluster: bool,
    /// The Local set.
    pub local: bool,
}

/// Every endpoint, sorted by address and port, each once. Of duplicates the first counts, by slice name and position, but one that
/// is not terminating beats one that is (S9). The endpoints of a slice are sorted, so that runs are merged: a sort that is stable
/// finds them.
pub fn endpoints<'a>(slices: &'a Slices, family: Family, name: &str, proto: Proto) -> Endpoints<'a> {
    let mut found = Endpoints::with_capacity(slices.values().map(|slice| slice.endpoints.len()).sum());
    for slice in slices.values().filter(|slice| slice.family == family) {
        for port in slice.ports.iter().filter(|port| *port.name == *name && port.proto == proto) {
            found.extend(slice.endpoints.iter().map(|endpoint| (endpoint.addr, port.port, endpoint)));
        }
    }
    found.sort_by_key(|(addr, port, _)| (*addr, *port));
    found.dedup_by(|later, first| {
        let same = (later.0, later.1) == (first.0, first.1);
        if same && first.2.terminating && !later.2.terminating {
            first.2 = later.2;
        }
        same
    });
    found
}

/// Whether somewhere an endpoint is ready, or serving and terminating (S18).
pub fn any_usable(endpoints: &Endpoints) -> bool {
    endpoints.iter().any(|(_, _, endpoint)| endpoint.ready || is_last_resort(endpoint))
}

/// Every endpoint that serves, with the sets it is in (S16, S17). One that is published although its pod isn't ready says ready
/// and not serving: new connections choose it, so it keeps them.
pub fn backends(endpoints: &Endpoints, needed: Needed, zone: Option<&str>) -> Vec<WantedBackend> {
    let ready = || endpoints.iter().map(|(_, _, endpoint)| *endpoint).filter(|endpoint| endpoint.ready);
    let topology = Topology::of(ready(), zone);
    let (any, any_local) = (ready().next().is_some(), ready().any(|endpoint| endpoint.local));
    let in_cluster = |endpoint: &Endpoint| {
        if any { endpoint.ready && topology.suits(endpoint) } else { is_last_resort(endpoint) }
    };
    let in_local = |endpoint: &Endpoint| endpoint.local && if any_local { endpoint.ready } else { is_last_resort(endpoint) };
    let state = |endpoint: &Endpoint| {
        let cluster = BackendState::IN_CLUSTER.when(needed.cluster && in_cluster(endpoint));
        let local = BackendState::IN_LOCAL.when(needed.local && in_local(endpoint));
        BackendState::SERVING.with(cluster).with(local)
    };
    let mut backends = Vec::with_capacity(endpoints.len());
    for &(addr, port, endpoint) in endpoints {
        if endpoint.ready || endpoint.serving {
            backends.push(WantedBackend { addr, port, local: endpoint.local, state: state(endpoint) });
        }
    }
    backends
}

const fn is_last_resort(endpoint: &Endpoint) -> bool {
    endpoint.serving && endpoint.terminating
}

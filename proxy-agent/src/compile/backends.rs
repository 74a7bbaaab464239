//! The backends of one service port in one family.

use crate::state::{Endpoint, Slices};
use crate::table::WantedBackend;
use proxy_common::abi::{Addr, BackendState, Family, Port, Proto};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Every endpoint that serves, by address and port, each once. Of duplicates the first counts, by slice name and position,
/// but one that is not terminating beats one that is (S9).
pub fn backends(slices: &Slices, family: Family, name: &str, proto: Proto) -> Vec<WantedBackend> {
    let mut found: BTreeMap<(Addr, Port), Endpoint> = BTreeMap::new();
    for slice in slices.values().filter(|slice| slice.family == family) {
        for port in slice.ports.iter().filter(|port| *port.name == *name && port.proto == proto) {
            for endpoint in &slice.endpoints {
                match found.entry((endpoint.addr, port.port)) {
                    Entry::Vacant(entry) => {
                        entry.insert(*endpoint);
                    }
                    Entry::Occupied(mut entry) if entry.get().terminating && !endpoint.terminating => {
                        entry.insert(*endpoint);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
    }
    found.into_iter().filter_map(|((addr, port), endpoint)| backend(addr, port, endpoint)).collect()
}

/// An endpoint that is published although its pod isn't ready says ready and not serving: new connections choose it, so it
/// keeps them.
fn backend(addr: Addr, port: Port, endpoint: Endpoint) -> Option<WantedBackend> {
    let state = match (endpoint.ready, endpoint.serving) {
        (true, _) => BackendState::SERVING.with(BackendState::SELECTABLE),
        (false, true) => BackendState::SERVING,
        (false, false) => return None,
    };
    Some(WantedBackend { addr, port, local: endpoint.local, state })
}

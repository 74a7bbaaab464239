//! Maps that are large enough, and what they hold in the form of the wanted table.

use proxy_agent::maps::{Capacity, Read, services};
use proxy_agent::table::{PortName, WantedBackend, WantedService};
use std::collections::BTreeMap;

/// Enough for all objects that there can be.
pub const ROOMY: Capacity = Capacity {
    services: 128,
    frontends: 512,
    backends: 1024,
    slots: 4096,
    descriptors: 512,
    source_ranges: 512,
    connections: 0,
    flows: 0,
    flows_spill: 0,
    flows_any: 0,
    flows_any_spill: 0,
    udp_peers: 0,
};

/// All services in force; what no map holds, their age, is that of the newest.
pub fn held(maps: &impl Read) -> BTreeMap<PortName, WantedService> {
    let views = services(maps).unwrap().into_iter().map(|view| {
        let backends = view.backends.iter().map(|held| {
            assert_eq!(held.sets, held.state.sets(), "state and sets of {:?}", held.addr);
            WantedBackend { addr: held.addr, port: held.port, local: held.local, state: held.state }
        });
        let wanted = WantedService::new(view.name, view.frontends, backends.collect());
        (wanted.name.clone(), WantedService { flags: view.flags, affinity: view.affinity, sources: view.sources, ..wanted })
    });
    views.collect()
}

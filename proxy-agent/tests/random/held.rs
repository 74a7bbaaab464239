//! The maps, read back into the form of the wanted table.

use proxy_agent::maps::{Read, services};
use proxy_agent::table::{WantedBackend, WantedService};
use proxy_common::abi::ServiceName;
use std::collections::BTreeMap;

/// All services in force; what no map holds, their age, is that of the newest.
pub fn held(maps: &impl Read) -> BTreeMap<ServiceName, WantedService> {
    let views = services(maps).unwrap().into_iter().map(|view| {
        let backends = view.backends.iter().map(|held| {
            assert_eq!(held.sets, held.state.sets(), "state and sets of {:?}", held.addr);
            WantedBackend { addr: held.addr, port: held.port, local: held.local, state: held.state }
        });
        let wanted = WantedService::new(view.name, view.frontends, backends.collect());
        (view.name, WantedService { flags: view.flags, affinity: view.affinity, sources: view.sources, ..wanted })
    });
    views.collect()
}

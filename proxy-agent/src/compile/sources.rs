//! Who may dial a Service's load-balancer addresses (S24, S42).

use crate::state::{Service, State};
use ipnet::IpNet;
use proxy_common::abi::{Addr, Family, FrontendKey, FrontendKind};
use std::net::IpAddr;

/// The prefixes that sources must be in, sorted; `None` = everybody may. Where one holds an address of this node, the load
/// balancer's own addresses may too: packets of this node to an address that is also on one of its devices come from there.
pub fn sources(
    state: &State,
    service: &Service,
    family: Family,
    frontends: &[(FrontendKey, FrontendKind)],
) -> Option<Vec<IpNet>> {
    let balanced = || frontends.iter().filter(|(_, kind)| *kind == FrontendKind::LOAD_BALANCER).map(|(key, _)| key.addr);
    balanced().next()?;
    let mut nets = service.source_ranges.of(family)?;
    if state.node_addresses().any(|addr| nets.iter().any(|net| net.contains(&addr))) {
        nets.extend(balanced().map(alone));
        nets.sort_unstable();
        nets.dedup();
    }
    Some(nets)
}

fn alone(addr: Addr) -> IpNet {
    IpAddr::from(addr).into()
}

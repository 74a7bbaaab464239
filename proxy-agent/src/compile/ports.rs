//! What one Service wants in the table, before conflicts with others are settled.

use super::backends::{Endpoints, Needed, any_usable, backends, endpoints};
use crate::state::{Policies, RejectReason, Service, ServicePort, State};
use crate::table::{Age, WantedService};
use crate::watch::objects::ObjectName;
use proxy_common::abi::{Family, FrontendKey, FrontendKind, ServiceFlags, ServiceName};

/// Each port of the Service in each family that it exists in, with all frontends that it claims.
pub fn ports(state: &State, name: &ObjectName, service: &Service, rejected: &mut Vec<RejectReason>) -> Vec<WantedService> {
    let zone = state.node().zone.as_deref();
    let mut wanted = Vec::with_capacity(service.ports.len());
    for family in [Family::V4, Family::V6] {
        let Some(cluster_ip) = service.cluster_ip(family) else { continue };
        for port in &service.ports {
            let Some(key) = ServiceName::new(&name.namespace, &name.name, &port.name, port.proto, family) else {
                rejected.push(RejectReason::NameTooLong);
                continue;
            };
            let slices = state.slices(name);
            let endpoints = slices.map(|slices| endpoints(slices, family, &port.name, port.proto)).unwrap_or_default();
            let main = (FrontendKey::new(cluster_ip, port.port, port.proto), FrontendKind::CLUSTER_IP);
            let mut frontends: Vec<_> = std::iter::once(main).chain(node_port(port, family)).collect();
            frontends.sort_unstable();
            wanted.push(WantedService {
                name: key,
                age: Age::from(service.created),
                flags: flags(service.policies, &endpoints),
                backends: backends(&endpoints, needed(service.policies, &frontends), zone),
                frontends,
            });
        }
    }
    wanted
}

/// Which sets clients may ask for (S15).
fn needed(policies: Policies, frontends: &[(FrontendKey, FrontendKind)]) -> Needed {
    let external = frontends.iter().any(|(_, kind)| *kind != FrontendKind::CLUSTER_IP);
    Needed {
        cluster: external || !policies.internal_local,
        local: policies.internal_local || external && policies.external_local,
    }
}

fn flags(policies: Policies, endpoints: &Endpoints) -> ServiceFlags {
    ServiceFlags::ENDPOINTS
        .when(any_usable(endpoints))
        .with(ServiceFlags::INTERNAL_LOCAL.when(policies.internal_local))
        .with(ServiceFlags::EXTERNAL_LOCAL.when(policies.external_local))
}

fn node_port(port: &ServicePort, family: Family) -> Option<(FrontendKey, FrontendKind)> {
    Some((FrontendKey::new(family.any(), port.node_port?, port.proto), FrontendKind::NODE_PORT))
}

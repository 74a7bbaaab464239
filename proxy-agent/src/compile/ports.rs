//! What one Service wants in the table, before conflicts with others are settled.

use super::backends::{Endpoints, Needed, any_usable, backends, endpoints};
use super::sources::sources;
use crate::config::Algorithm;
use crate::state::{Policies, RejectReason, Service, ServicePort, State};
use crate::table::{Age, WantedService};
use crate::watch::objects::ObjectName;
use proxy_common::abi::{Addr, Family, FrontendKey, FrontendKind, ServiceFlags, ServiceName};

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
            let frontends = frontends(service, port, cluster_ip);
            wanted.push(WantedService {
                name: key.into(),
                age: Age::from(service.created),
                flags: flags(service.policies, &endpoints).with(algorithm(state, service)),
                affinity: service.affinity,
                sources: sources(state, service, family, &frontends),
                backends: backends(&endpoints, needed(service.policies, &frontends), zone),
                frontends,
            });
        }
    }
    wanted
}

/// Which sets clients may ask for (S15).
fn needed(policies: Policies, frontends: &[(FrontendKey, FrontendKind)]) -> Needed {
    let external = frontends.iter().any(|(_, kind)| kind.is_external());
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

fn algorithm(state: &State, service: &Service) -> ServiceFlags {
    ServiceFlags::MAGLEV.when(service.algorithm.unwrap_or(state.algorithm()) == Algorithm::Maglev)
}

/// All that clients dial, sorted. An address that a Service names as several kinds is of the one with the stricter rules: those for
/// the load balancer's addresses are stricter than those for externalIPs (S41, S42).
fn frontends(service: &Service, port: &ServicePort, cluster_ip: Addr) -> Vec<(FrontendKey, FrontendKind)> {
    let family = cluster_ip.family();
    let mut found = Vec::with_capacity(2);
    found.push((FrontendKey::rest_of(cluster_ip), FrontendKind::CLUSTER_REST));
    let mut claim = |addr, number, kind| found.push((FrontendKey::new(addr, number, port.proto), kind));
    claim(cluster_ip, port.port, FrontendKind::CLUSTER_IP);
    if let Some(number) = port.node_port {
        claim(family.any(), number, FrontendKind::NODE_PORT);
    }
    let of_family = |addr: &&Addr| addr.family() == family;
    for addr in service.load_balancer_ips.iter().filter(of_family) {
        claim(*addr, port.port, FrontendKind::LOAD_BALANCER);
    }
    for addr in service.external_ips.iter().filter(of_family) {
        claim(*addr, port.port, FrontendKind::EXTERNAL_IP);
    }
    // Of one key the first counts: the sort is stable.
    found.sort_by_key(|(key, _)| *key);
    found.dedup_by_key(|(key, _)| *key);
    found
}

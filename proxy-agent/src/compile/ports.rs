//! What one Service wants in the table, before conflicts with others are settled.

use super::backends::backends;
use crate::state::{RejectReason, Service, ServicePort, Slices};
use crate::table::WantedService;
use crate::watch::objects::ObjectName;
use proxy_common::abi::{Family, FrontendKey, FrontendKind, ServiceName};

/// Each port of the Service in each family that it exists in, with all frontends that it claims.
pub fn ports(
    name: &ObjectName,
    service: &Service,
    slices: Option<&Slices>,
    rejected: &mut Vec<RejectReason>,
) -> Vec<WantedService> {
    let mut wanted = Vec::with_capacity(service.ports.len());
    for family in [Family::V4, Family::V6] {
        let Some(cluster_ip) = service.cluster_ip(family) else { continue };
        for port in &service.ports {
            let Some(key) = ServiceName::new(&name.namespace, &name.name, &port.name, port.proto, family) else {
                rejected.push(RejectReason::NameTooLong);
                continue;
            };
            let backends = slices.map(|slices| backends(slices, family, &port.name, port.proto)).unwrap_or_default();
            let main = (FrontendKey::new(cluster_ip, port.port, port.proto), FrontendKind::CLUSTER_IP);
            let mut frontends: Vec<_> = std::iter::once(main).chain(node_port(port, family)).collect();
            frontends.sort_unstable();
            wanted.push(WantedService { name: key, frontends, backends });
        }
    }
    wanted
}

fn node_port(port: &ServicePort, family: Family) -> Option<(FrontendKey, FrontendKind)> {
    Some((FrontendKey::new(family.any(), port.node_port?, port.proto), FrontendKind::NODE_PORT))
}

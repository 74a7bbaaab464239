//! What load balancers may ask of this node's endpoints (S49, S50). Read only.

use super::store::State;
use crate::watch::objects::ObjectName;
use proxy_common::abi::{Addr, Family, Port};
use std::collections::BTreeSet;

/// The health check of one Service in one family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// The family.
    pub family: Family,
    /// The port that load balancers ask.
    pub port: Port,
    /// Addresses of endpoints on this node that are ready.
    pub endpoints: usize,
}

impl State {
    /// The health checks of a Service: one for each family that it exists in, if it asks for any.
    pub fn health_checks(&self, name: &ObjectName) -> Vec<HealthCheck> {
        let Some(service) = self.service(name) else { return Vec::new() };
        let Some(port) = service.health_check else { return Vec::new() };
        [Family::V4, Family::V6]
            .into_iter()
            .filter(|family| service.cluster_ip(*family).is_some())
            .map(|family| HealthCheck { family, port, endpoints: self.local_ready(name, family).len() })
            .collect()
    }

    fn local_ready(&self, name: &ObjectName, family: Family) -> BTreeSet<Addr> {
        let slices = self.slices(name).into_iter().flat_map(|slices| slices.values());
        let slices = slices.filter(|slice| slice.family == family && !slice.ports.is_empty());
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        endpoints.filter(|endpoint| endpoint.local && endpoint.ready).map(|endpoint| endpoint.addr).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::state::State;
    use crate::watch::files::parse;
    use crate::watch::objects::ObjectName;
    use std::collections::BTreeSet;

    const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: a, namespace: n}
spec:
  type: LoadBalancer
  clusterIPs: [10.96.0.1, 'fd00:96::1']
  externalTrafficPolicy: Local
  healthCheckNodePort: 32000
  ports: [{name: p, port: 80}, {name: q, port: 81}]
";
    const SLICES: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, namespace: n, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: p, port: 8080}, {name: q, port: 8081}]
endpoints:
- {addresses: [10.0.0.1], nodeName: here}
- {addresses: [10.0.0.2], nodeName: here, conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.0.0.3], nodeName: there}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-2, namespace: n, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: p, port: 9090}]
endpoints:
- {addresses: [10.0.0.1], nodeName: here}
- {addresses: [10.0.0.4], nodeName: here}
";

    fn checks(text: &str) -> Vec<(u16, usize)> {
        let mut state = State::new("here");
        for defined in parse::yaml(text).unwrap() {
            state.apply(&defined.object, &mut BTreeSet::new());
        }
        let checks = state.health_checks(&ObjectName::new("n", "a"));
        checks.iter().map(|check| (check.port.number(), check.endpoints)).collect()
    }

    #[test]
    fn s50_distinct_local_ready_addresses_count_in_each_family() {
        assert_eq!(checks(&format!("{SERVICE}---{SLICES}")), [(32000, 2), (32000, 0)]);
        assert_eq!(checks(SERVICE), [(32000, 0), (32000, 0)]);
    }

    #[test]
    fn s49_only_a_load_balancer_with_the_policy_local_is_asked() {
        for (from, to) in [
            ("type: LoadBalancer", "type: NodePort"),
            ("externalTrafficPolicy: Local", "externalTrafficPolicy: Cluster"),
            ("healthCheckNodePort: 32000", "healthCheckNodePort: 0"),
        ] {
            assert_eq!(checks(&format!("{}---{SLICES}", SERVICE.replace(from, to))), [], "{to}");
        }
        assert_eq!(checks(&SERVICE.replace(", 'fd00:96::1'", "")), [(32000, 0)], "one family");
    }
}

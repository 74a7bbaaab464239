//! What load balancers may ask of this node's endpoints (S49, S50), and what they would miss here. Read only.

use super::service::{Policies, Service, ServicePort};
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

/// How many service ports have a policy Local, and endpoints on other nodes alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WithoutLocal {
    /// By internalTrafficPolicy.
    pub internal: u64,
    /// By externalTrafficPolicy, if they are served outside.
    pub external: u64,
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

    /// Of each family, the ports of a Service whose policy is Local and that have endpoints, none of them here (S22, S23).
    pub fn without_local(&self, name: &ObjectName) -> [WithoutLocal; 2] {
        [Family::V4, Family::V6].map(|family| {
            let Some(service) = self.service(name).filter(|service| service.cluster_ip(family).is_some()) else {
                return WithoutLocal::default();
            };
            if service.policies == Policies::default() {
                return WithoutLocal::default();
            }
            let stranded = service.ports.iter().filter(|port| self.is_elsewhere(name, family, port));
            stranded.fold(WithoutLocal::default(), |count, port| WithoutLocal {
                internal: count.internal + u64::from(service.policies.internal_local),
                external: count.external + u64::from(service.policies.external_local && is_external(service, port)),
            })
        })
    }

    /// Whether a service port has endpoints that could serve, none of them on this node.
    fn is_elsewhere(&self, name: &ObjectName, family: Family, port: &ServicePort) -> bool {
        let slices = self.slices(name).into_iter().flat_map(|slices| slices.values());
        let slices = slices.filter(|slice| slice.family == family);
        let of_port =
            slices.filter(|slice| slice.ports.iter().any(|other| other.name == port.name && other.proto == port.proto));
        let mut usable = of_port
            .flat_map(|slice| &slice.endpoints)
            .filter(|endpoint| endpoint.ready || (endpoint.serving && endpoint.terminating))
            .peekable();
        usable.peek().is_some() && !usable.any(|endpoint| endpoint.local)
    }

    fn local_ready(&self, name: &ObjectName, family: Family) -> BTreeSet<Addr> {
        let slices = self.slices(name).into_iter().flat_map(|slices| slices.values());
        let slices = slices.filter(|slice| slice.family == family && !slice.ports.is_empty());
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        endpoints.filter(|endpoint| endpoint.local && endpoint.ready).map(|endpoint| endpoint.addr).collect()
    }
}

fn is_external(service: &Service, port: &ServicePort) -> bool {
    port.node_port.is_some() || !service.external_ips.is_empty() || !service.load_balancer_ips.is_empty()
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

    fn state(node: &str, text: &str) -> State {
        let mut state = State::new(node);
        for defined in parse::yaml(text).unwrap() {
            state.apply(&defined.object, &mut BTreeSet::new());
        }
        state
    }

    fn checks(text: &str) -> Vec<(u16, usize)> {
        let checks = state("here", text).health_checks(&ObjectName::new("n", "a"));
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

    #[test]
    fn ports_without_an_endpoint_here_count_by_policy() {
        let text = format!("{}---{SLICES}", SERVICE.replace("port: 81}", "port: 81, nodePort: 30081}"));
        let internal = text.replace("externalTrafficPolicy: Local", "internalTrafficPolicy: Local");
        let name = ObjectName::new("n", "a");
        for (node, text, wanted) in [
            ("here", &text, (0, 0)),
            ("nowhere", &text, (0, 1)),
            ("nowhere", &internal, (2, 0)),
            ("nowhere", &SERVICE.replace("externalT", "internalT"), (0, 0)),
        ] {
            let [v4, v6] = state(node, text).without_local(&name);
            assert_eq!((v4.internal, v4.external), wanted, "{node} {text}");
            assert_eq!((v6.internal, v6.external), (0, 0), "IPv6 has no endpoints at all: they are refused");
        }
    }
}

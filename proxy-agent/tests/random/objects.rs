//! Random objects out of few values, so that everything collides; some make no sense.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::core::ObjectMeta;
use proptest::prelude::*;
use proxy_agent::watch::objects::{
    ALGORITHM, ClientIpConfig, Conditions, Endpoint, EndpointPort, EndpointSlice, Hint, Hints, LoadBalancerIngress,
    LoadBalancerStatus, Node, NodeAddress, NodeSpec, NodeStatus, Object, Service, ServicePort, ServiceSpec, ServiceStatus,
    SessionAffinityConfig, Taint,
};
use std::collections::BTreeMap;

/// One of these words.
pub fn text(choices: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(choices).prop_map(str::to_owned)
}

fn number(choices: &'static [i64]) -> impl Strategy<Value = i64> {
    prop::sample::select(choices)
}

/// A Service.
pub fn service() -> impl Strategy<Value = Object> {
    let port = (
        text(&["", "a", "b"]),
        text(&["TCP", "UDP", "SCTP", "x"]),
        number(&[0, 80, 80, 81]),
        number(&[0, 0, 30080, 30081, 70000]),
    );
    let port = port.prop_map(|(name, protocol, port, node_port)| ServicePort { name, protocol, port, node_port });
    let address = text(&["10.96.0.1", "10.96.0.2", "fd00::1", "fd00::2", "None", "0.0.0.0", "127.0.0.1", ""]);
    (
        text(&["a", "b", "c", "d"]),
        prop::option::of(0_i64..3),
        prop::collection::vec(address, 0..3),
        prop::collection::vec(port, 0..4),
        text(&["ClusterIP", "LoadBalancer", "LoadBalancer", "ExternalName", "Fancy"]),
        (prop::bool::weighted(0.1), prop::option::of(text(&["maglev", "random", "fair"]))),
        (ranges(), number(&[0, 32_000, 32_000, 32_001, 70_000]), prop::option::of(number(&[0, 1, 7, 86_400, 86_401]))),
        (text(&["", "Cluster", "Local", "Nearest"]), text(&["", "Cluster", "Local", "Nearest"])),
        (outer(), outer(), text(&["VIP", "VIP", "Proxy", "Tunnel"]), text(&["", "None", "ClientIP", "Header"])),
    )
        .prop_map(
            |(name, created, cluster_ips, ports, service_type, (foreign, algorithm), numbers, policies, addresses)| {
                let ((internal, external), (external_ips, balanced, mode, session_affinity)) = (policies, addresses);
                let (ranges, health_check_node_port, timeout_seconds) = numbers;
                let mut metadata = meta(name, foreign.then_some("service.kubernetes.io/service-proxy-name"));
                metadata.annotations = algorithm.map(|word| BTreeMap::from([(ALGORITHM.to_owned(), word)]));
                metadata.creation_timestamp = created.map(|second| Time(Timestamp::from_second(second).unwrap()));
                let spec = ServiceSpec {
                    service_type,
                    cluster_ips,
                    ports,
                    load_balancer_source_ranges: ranges,
                    internal_traffic_policy: internal,
                    external_traffic_policy: external,
                    external_ips,
                    session_affinity,
                    session_affinity_config: SessionAffinityConfig { client_ip: ClientIpConfig { timeout_seconds } },
                    health_check_node_port,
                    ..ServiceSpec::default()
                };
                let ingress = balanced.into_iter().map(|ip| LoadBalancerIngress { ip, ip_mode: Some(mode.clone()) }).collect();
                let status = ServiceStatus { load_balancer: LoadBalancerStatus { ingress } };
                Object::Service(Service { metadata, spec, status })
            },
        )
}

/// Addresses from outside; one is a ClusterIP of others.
fn outer() -> impl Strategy<Value = Vec<String>> {
    let address = text(&["203.0.113.1", "203.0.113.2", "2001:db8::1", "10.96.0.2", "127.0.0.1", ""]);
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(address, 1..3)]
}

/// Source ranges, of both families and of none.
fn ranges() -> impl Strategy<Value = Vec<String>> {
    let range = text(&["10.0.0.0/8", " 203.0.113.000/025 ", "fd00::/8", "::/0", "10.0.0.0/33", ""]);
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(range, 1..3)]
}

/// An EndpointSlice.
pub fn slice() -> impl Strategy<Value = Object> {
    let condition = || prop::option::of(any::<bool>());
    let conditions = (condition(), condition(), condition());
    let address = text(&["10.244.0.1", "10.244.0.2", "10.244.0.3", "fd00:244::1", "fd00:244::2", "127.0.0.1", "x"]);
    let endpoint = (prop::collection::vec(address, 0..2), conditions, text(&["node-1", "node-2"]), hints());
    let endpoint = endpoint.prop_map(|(addresses, (ready, serving, terminating), node, hints)| Endpoint {
        addresses,
        conditions: Conditions { ready, serving, terminating },
        node_name: Some(node),
        hints,
    });
    let port = (
        prop::option::of(text(&["", "a", "b"])),
        text(&["TCP", "UDP", "SCTP", "x"]),
        prop::option::of(number(&[0, 8080, 8081])),
    );
    let port = port.prop_map(|(name, protocol, port)| EndpointPort { name, protocol: Some(protocol), port });
    (
        text(&["s1", "s2", "s3", "s4", "s5"]),
        text(&["a", "b", "c", "d"]),
        text(&["IPv4", "IPv4", "IPv4", "IPv6", "FQDN", "IPv8"]),
        prop::collection::vec(endpoint, 0..4),
        prop::collection::vec(port, 0..3),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(name, service, address_type, endpoints, ports, headless)| {
            let mut metadata = meta(name, headless.then_some("service.kubernetes.io/headless"));
            metadata.labels.get_or_insert_default().insert("kubernetes.io/service-name".into(), service);
            Object::EndpointSlice(EndpointSlice { metadata, address_type, endpoints, ports })
        })
}

fn hints() -> impl Strategy<Value = Option<Hints>> {
    let names = |choices| prop::collection::vec(text(choices).prop_map(|name| Hint { name }), 0..3);
    let hints = (names(&["a", "a", "b"]), names(&["node-1", "node-1", "node-2"]));
    prop::option::weighted(0.8, hints.prop_map(|(for_zones, for_nodes)| Hints { for_zones, for_nodes }))
}

/// A Node: this one or another.
pub fn node() -> impl Strategy<Value = Object> {
    let zone = prop::option::of(text(&["", "a", "b", "c"]));
    let address = (text(&["InternalIP", "ExternalIP", "Hostname"]), text(&["192.0.2.1", "192.0.2.2", "2001:db8::1", "x"]));
    let addresses = prop::collection::vec(address, 0..3);
    let pod_cidrs = prop::collection::vec(text(&["10.244.1.0/24", "fd00:244::/64", "10.244.1.0"]), 0..3);
    let taint = prop::bool::weighted(0.2);
    (text(&["node-1", "node-1", "node-2"]), zone, addresses, pod_cidrs, taint).prop_map(
        |(name, zone, addresses, pod_cidrs, leaving)| {
            let labels = zone.map(|zone| BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), zone)]));
            let metadata = ObjectMeta { name: Some(name), labels, ..ObjectMeta::default() };
            let taints = leaving.then(|| Taint { key: "ToBeDeletedByClusterAutoscaler".into() }).into_iter().collect();
            let addresses = addresses.into_iter().map(|(address_type, address)| NodeAddress { address_type, address });
            let status = NodeStatus { addresses: addresses.collect() };
            Object::Node(Node { metadata, spec: NodeSpec { pod_cidrs, taints }, status })
        },
    )
}

/// Metadata of an object in the namespace `n`.
pub fn meta(name: String, label: Option<&str>) -> ObjectMeta {
    let labels = label.map(|label| BTreeMap::from([(label.to_owned(), String::new())]));
    ObjectMeta { name: Some(name), namespace: Some("n".into()), labels, ..ObjectMeta::default() }
}

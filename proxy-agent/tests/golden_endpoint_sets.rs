//! S2 to S9 and S15 to S19 once more, written as naively as the text reads: for random objects the table holds the service ports and
//! the sets that this oracle finds.

#[path = "random/objects.rs"]
mod objects;

use proptest::prelude::*;
use proxy_agent::control::Control;
use proxy_agent::table::{WantedBackend, WantedService};
use proxy_agent::watch::Event;
use proxy_agent::watch::objects::{Endpoint, EndpointSlice, Hint, Kind, Node, Object, Service, ServicePort};
use proxy_common::abi::{BackendState, Family, ServiceFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

const NODE: &str = "node-1";

type Addresses = BTreeSet<SocketAddr>;

/// One endpoint of a service port.
#[derive(Clone, Debug)]
struct Seen {
    at: SocketAddr,
    ready: bool,
    serving: bool,
    terminating: bool,
    local: bool,
    nodes: Vec<String>,
    zones: Vec<String>,
}

/// What the text says of a service port.
#[derive(PartialEq, Eq, Debug)]
struct Expected {
    cluster: Addresses,
    local: Addresses,
    any: bool,
}

fn seen(slices: &[&EndpointSlice], service: &str, family: Family, port: &ServicePort) -> Vec<Seen> {
    let mut all: Vec<Seen> = Vec::new();
    for slice in slices {
        let labels = slice.metadata.labels.clone().unwrap_or_default();
        let wanted_type = if family == Family::V4 { "IPv4" } else { "IPv6" };
        if labels.get("kubernetes.io/service-name").map(String::as_str) != Some(service)
            || labels.contains_key("service.kubernetes.io/headless")
            || slice.address_type != wanted_type
        {
            continue;
        }
        let protocol = |name: &str| if name.is_empty() { "TCP".to_owned() } else { name.to_owned() };
        for endpoint_port in &slice.ports {
            let same = endpoint_port.name.as_deref() == Some(port.name.as_str())
                && protocol(endpoint_port.protocol.as_deref().unwrap_or("")) == protocol(&port.protocol);
            let number = endpoint_port.port.unwrap_or(0) as u16;
            if !same || number == 0 {
                continue;
            }
            for endpoint in &slice.endpoints {
                all.extend(one(endpoint, family, number));
            }
        }
    }
    // S9: the first wins, but one that is not terminating beats one that is.
    let mut unique: Vec<Seen> = Vec::new();
    for endpoint in all {
        match unique.iter_mut().find(|other| other.at == endpoint.at) {
            None => unique.push(endpoint),
            Some(other) if other.terminating && !endpoint.terminating => *other = endpoint,
            Some(_) => {}
        }
    }
    unique
}

fn one(endpoint: &Endpoint, family: Family, port: u16) -> Option<Seen> {
    let ip: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    if ip.is_ipv4() != (family == Family::V4) || ip.is_loopback() {
        return None;
    }
    let ready = endpoint.conditions.ready.unwrap_or(true);
    let hints = endpoint.hints.clone().unwrap_or_default();
    let names = |hints: &[Hint]| hints.iter().map(|hint| hint.name.clone()).collect();
    Some(Seen {
        at: SocketAddr::new(ip, port),
        ready,
        serving: endpoint.conditions.serving.unwrap_or(ready),
        terminating: endpoint.conditions.terminating.unwrap_or(false),
        local: endpoint.node_name.as_deref() == Some(NODE),
        nodes: names(&hints.for_nodes),
        zones: names(&hints.for_zones),
    })
}

/// S19.
fn near(ready: Vec<Seen>, zone: Option<&str>) -> Vec<Seen> {
    let for_node = |endpoint: &Seen| endpoint.nodes.iter().any(|name| name == NODE);
    let for_zone = |endpoint: &Seen| endpoint.zones.iter().any(|name| Some(name.as_str()) == zone);
    if ready.iter().all(|endpoint| !endpoint.nodes.is_empty()) && ready.iter().any(for_node) {
        ready.into_iter().filter(for_node).collect()
    } else if ready.iter().all(|endpoint| !endpoint.zones.is_empty()) && ready.iter().any(for_zone) {
        ready.into_iter().filter(for_zone).collect()
    } else {
        ready
    }
}

fn expected(endpoints: &[Seen], service: &Service, external: bool, zone: Option<&str>) -> Expected {
    let ready: Vec<Seen> = endpoints.iter().filter(|endpoint| endpoint.ready).cloned().collect();
    let last: Vec<Seen> = endpoints.iter().filter(|endpoint| endpoint.serving && endpoint.terminating).cloned().collect();
    let local = |all: &[Seen]| all.iter().filter(|endpoint| endpoint.local).cloned().collect::<Vec<_>>();
    let or = |first: Vec<Seen>, second: Vec<Seen>| if first.is_empty() { second } else { first };
    let addresses = |all: Vec<Seen>| all.into_iter().map(|endpoint| endpoint.at).collect();
    let internal_local = service.spec.internal_traffic_policy == "Local";
    let external_local = service.spec.external_traffic_policy == "Local";
    let needs_cluster = !internal_local || external;
    let needs_local = internal_local || external_local && external;
    let cluster = addresses(or(near(ready.clone(), zone), last.clone()));
    let locals = addresses(or(local(&ready), local(&last)));
    Expected {
        cluster: if needs_cluster { cluster } else { Addresses::new() },
        local: if needs_local { locals } else { Addresses::new() },
        any: !ready.is_empty() || !last.is_empty(),
    }
}

/// Whether an address from outside counts in the family.
fn has_outer(service: &Service, family: Family) -> bool {
    let ingress = service.status.load_balancer.ingress.iter().filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    let mut texts = service.spec.external_ips.iter().chain(ingress.map(|ingress| &ingress.ip));
    texts.any(|text| text.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4() == (family == Family::V4) && !ip.is_loopback()))
}

/// Names of ports that must stand in the table in this family: those of a ClusterIP that no other Service names, whose number is
/// their own. (What others contest is for S9's tests.)
fn uncontested<'a>(service: &'a Service, all: &[&Service], family: Family) -> Vec<(&'a str, &'a str)> {
    let labels = service.metadata.labels.clone().unwrap_or_default();
    if labels.contains_key("service.kubernetes.io/service-proxy-name") || service.spec.service_type == "ExternalName" {
        return Vec::new();
    }
    let valid = |text: &&String| {
        text.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4() == (family == Family::V4) && !ip.is_loopback() && !ip.is_unspecified())
    };
    let Some(address) = service.spec.cluster_ips.iter().find(valid) else { return Vec::new() };
    let names = |other: &&Service| {
        let ingress = other.status.load_balancer.ingress.iter().map(|ingress| &ingress.ip);
        other.spec.cluster_ips.iter().chain(&other.spec.external_ips).chain(ingress).any(|text| text == address)
    };
    if all.iter().filter(|other| other.metadata.name != service.metadata.name).any(names) {
        return Vec::new();
    }
    let ports: Vec<&ServicePort> =
        service.spec.ports.iter().filter(|port| port.port > 0 && is_served(&port.protocol)).collect();
    let alone = |port: &&&ServicePort| {
        let same =
            |other: &&&ServicePort| other.protocol == port.protocol && (other.port, &other.name) != (port.port, &port.name);
        !ports.iter().filter(same).any(|other| other.port == port.port || other.name == port.name)
    };
    ports.iter().filter(alone).map(|port| (port.name.as_str(), port.protocol.as_str())).collect()
}

fn is_served(protocol: &str) -> bool {
    ["TCP", "UDP"].contains(&protocol)
}

fn found(wanted: &WantedService) -> Expected {
    let address = |backend: &WantedBackend| SocketAddr::new(backend.addr.into(), backend.port.number());
    let set = |set| wanted.backends.iter().filter(|backend| backend.state.has(set)).map(address).collect();
    Expected {
        cluster: set(BackendState::IN_CLUSTER),
        local: set(BackendState::IN_LOCAL),
        any: wanted.flags.has(ServiceFlags::ENDPOINTS),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s15_to_s19_sets_are_those_of_the_text(
        given in prop::collection::vec(prop_oneof![2 => objects::service(), 5 => objects::slice(), 1 => objects::node()], 1..16)
    ) {
        let mut control = Control::new(NODE);
        Kind::ALL.into_iter().for_each(|kind| control.on_event(Event::Synced(kind), Instant::now()));
        let mut last = BTreeMap::new();
        for object in given {
            last.insert((object.kind(), object.name()), object.clone());
            control.on_event(object.into(), Instant::now());
            control.take_changes();
        }
        let slices: Vec<&EndpointSlice> = last.values().filter_map(|object| match object {
            Object::EndpointSlice(slice) => Some(slice),
            _ => None,
        }).collect();
        let zone = last.values().find_map(|object| match object {
            Object::Node(Node { metadata, .. }) if metadata.name.as_deref() == Some(NODE) => metadata.labels.as_ref()?.values().next(),
            _ => None,
        });
        let zone = zone.map(String::as_str).filter(|zone| !zone.is_empty());
        let services: Vec<&Service> = last.values().filter_map(|object| match object {
            Object::Service(service) => Some(service),
            _ => None,
        }).collect();
        for (service, family) in services.iter().flat_map(|service| [Family::V4, Family::V6].map(|family| (*service, family))) {
            for (port, proto) in uncontested(service, &services, family) {
                let stands = control.table().any(|wanted| {
                    let name = wanted.name;
                    let of_service = Some(name.name()) == service.metadata.name.as_deref() && name.family() == family;
                    of_service && (name.port(), name.proto.name()) == (port, Some(proto))
                });
                prop_assert!(stands, "port {:?} {} {:?} of {:?} is missing", port, proto, family, service);
            }
        }
        for wanted in control.table() {
            let service = last.values().find_map(|object| match object {
                Object::Service(service) if service.metadata.name.as_deref() == Some(wanted.name.name()) => Some(service),
                _ => None,
            }).expect("its Service");
            let proto = wanted.name.proto.name();
            let port = service.spec.ports.iter().find(|port| {
                let named = if port.protocol.is_empty() { "TCP" } else { port.protocol.as_str() };
                port.name == wanted.name.port() && Some(named) == proto && port.port > 0
            }).expect("its port");
            let claims = (1..65536).contains(&port.node_port) || has_outer(service, wanted.name.family());
            let endpoints = seen(&slices, wanted.name.name(), wanted.name.family(), port);
            let has = wanted.frontends.iter().any(|(_, kind)| kind.is_external());
            prop_assert!(claims || !has);
            prop_assert_eq!(found(&wanted), expected(&endpoints, service, claims, zone));
        }
    }
}

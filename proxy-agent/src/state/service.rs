//! Services as facts.

use super::check::{Protocol, address, note_unknown, port, protocol};
use super::rejection::RejectReason;
use super::source_ranges::SourceRanges;
use crate::config::Algorithm;
use crate::watch::objects;
use proxy_common::abi::{Addr, Family, Port, Proto};
use std::net::IpAddr;

/// With this label a Service belongs to another proxy, whatever its value (S1).
pub const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

const LOCAL: &str = "Local";
const VIP: &str = "VIP";
/// Seconds, as the API has it (S43).
const DEFAULT_AFFINITY: i64 = 10_800;
/// Seconds: the longest that the API takes.
const LONGEST_AFFINITY: i64 = 86_400;

/// A Service that has at least one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// When it was created, in seconds of Unix time.
    pub created: Option<i64>,
    /// Its ClusterIP of IPv4.
    pub v4: Option<Addr>,
    /// Its ClusterIP of IPv6.
    pub v6: Option<Addr>,
    /// Its externalIPs, of both families.
    pub external_ips: Vec<Addr>,
    /// Its load balancer's addresses that packets arrive with (S12), of both families.
    pub load_balancer_ips: Vec<Addr>,
    /// Who may dial those (S24).
    pub source_ranges: SourceRanges,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Its traffic policies.
    pub policies: Policies,
    /// How its endpoints are chosen (S20); `None` = as the configuration says.
    pub algorithm: Option<Algorithm>,
    /// How long a client keeps its endpoint after its last new connection, in seconds (S43); 0 = not at all.
    pub affinity: u32,
    /// Where load balancers ask for endpoints on this node, if they do (S49).
    pub health_check: Option<Port>,
}

/// The traffic policies of a Service; by default both are Cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    /// internalTrafficPolicy is Local.
    pub internal_local: bool,
    /// externalTrafficPolicy is Local.
    pub external_local: bool,
}

/// A port of a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Its name; empty for an unnamed one.
    pub name: Box<str>,
    /// Its protocol.
    pub proto: Proto,
    /// The port of the ClusterIP.
    pub port: Port,
    /// The port of the nodes, if it is served there.
    pub node_port: Option<Port>,
}

impl Service {
    /// The ClusterIP of a family (S3).
    pub const fn cluster_ip(&self, family: Family) -> Option<Addr> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}

/// What the object says, and what of it was left out. `None` if it is not for us (S1, S2).
pub fn service(object: &objects::Service, rejected: &mut Vec<RejectReason>) -> Option<Service> {
    let spec = &object.spec;
    let labels = object.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(PROXY_NAME)) || spec.service_type == "ExternalName" {
        return None;
    }
    let (v4, v6) = cluster_ips(spec, rejected);
    if v4.is_none() && v6.is_none() {
        return None;
    }
    unknown_words(spec, rejected);
    let mut ports: Vec<ServicePort> = Vec::with_capacity(spec.ports.len());
    for raw in &spec.ports {
        let Some(port) = service_port(raw, rejected) else { continue };
        if ports.iter().any(|other| other.name == port.name && other.proto == port.proto) {
            rejected.push(RejectReason::PortName { name: port.name.into() });
        } else {
            ports.push(port);
        }
    }
    let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    let policies = Policies {
        internal_local: spec.internal_traffic_policy == LOCAL,
        external_local: spec.external_traffic_policy == LOCAL,
    };
    Some(Service {
        created,
        v4,
        v6,
        external_ips: external_ips(object, rejected),
        load_balancer_ips: load_balancer_ips(object, rejected),
        source_ranges: SourceRanges::new(&spec.load_balancer_source_ranges, rejected),
        ports,
        policies,
        algorithm: algorithm(object, rejected),
        affinity: affinity(spec, rejected),
        health_check: health_check(spec, rejected),
    })
}

/// What a newer API version may say and this one does not know.
fn unknown_words(spec: &objects::ServiceSpec, rejected: &mut Vec<RejectReason>) {
    let types = ["", "ClusterIP", "NodePort", "LoadBalancer"];
    let policies = ["", "Cluster", LOCAL];
    let affinities = ["", "None", "ClientIP"];
    note_unknown("type", &spec.service_type, &types, "the addresses and ports that it names are served", rejected);
    note_unknown("internalTrafficPolicy", &spec.internal_traffic_policy, &policies, "taken for Cluster", rejected);
    note_unknown("externalTrafficPolicy", &spec.external_traffic_policy, &policies, "taken for Cluster", rejected);
    note_unknown("sessionAffinity", &spec.session_affinity, &affinities, "taken for None", rejected);
}

/// The first address of each family (S3). A manifest may give `clusterIP` alone, as users do.
fn cluster_ips(spec: &objects::ServiceSpec, rejected: &mut Vec<RejectReason>) -> (Option<Addr>, Option<Addr>) {
    let one = std::slice::from_ref(&spec.cluster_ip);
    let texts = if spec.cluster_ips.is_empty() { one } else { &spec.cluster_ips };
    let (mut v4, mut v6) = (None, None);
    for text in texts.iter().filter(|text| !text.is_empty() && *text != "None") {
        match address(text) {
            Ok(ip @ IpAddr::V4(_)) => v4 = v4.or(Some(ip.into())),
            Ok(ip @ IpAddr::V6(_)) => v6 = v6.or(Some(ip.into())),
            Err(why) => rejected.push(RejectReason::ClusterIp { text: text.clone(), why }),
        }
    }
    (v4, v6)
}

fn affinity(spec: &objects::ServiceSpec, rejected: &mut Vec<RejectReason>) -> u32 {
    if spec.session_affinity != "ClientIP" {
        return 0;
    }
    let seconds = spec.session_affinity_config.client_ip.timeout_seconds.unwrap_or(DEFAULT_AFFINITY);
    let taken = seconds.clamp(1, LONGEST_AFFINITY);
    if taken != seconds {
        rejected.push(RejectReason::AffinityTimeout { seconds, taken: taken as u32 });
    }
    taken as u32
}

/// What the annotation says; a word that is neither is taken for the configured default, and said.
fn algorithm(object: &objects::Service, rejected: &mut Vec<RejectReason>) -> Option<Algorithm> {
    let word = object.metadata.annotations.as_ref()?.get(objects::ALGORITHM)?;
    let known = Algorithm::of(word);
    if known.is_none() {
        note_unknown(objects::ALGORITHM, word, &[], "the configured algorithm is taken", rejected);
    }
    known
}

fn external_ips(object: &objects::Service, rejected: &mut Vec<RejectReason>) -> Vec<Addr> {
    let addresses = object.spec.external_ips.iter().filter(|text| !text.is_empty());
    let checked = addresses.map(|text| address(text).map_err(|why| RejectReason::ExternalIp { text: text.clone(), why }));
    checked.filter_map(|result| result.map_err(|reason| rejected.push(reason)).ok()).map(Addr::from).collect()
}

/// Packets to an address of mode Proxy arrive with another (S12).
fn load_balancer_ips(object: &objects::Service, rejected: &mut Vec<RejectReason>) -> Vec<Addr> {
    let mut addresses = Vec::new();
    for ingress in object.status.load_balancer.ingress.iter().filter(|ingress| !ingress.ip.is_empty()) {
        match ingress.ip_mode.as_deref().unwrap_or(VIP) {
            VIP => addresses.push(&ingress.ip),
            mode => note_unknown("ipMode", mode, &["Proxy"], "the address is not served", rejected),
        }
    }
    let addresses = addresses.into_iter();
    let checked = addresses.map(|text| address(text).map_err(|why| RejectReason::LoadBalancerIp { text: text.clone(), why }));
    checked.filter_map(|result| result.map_err(|reason| rejected.push(reason)).ok()).map(Addr::from).collect()
}

/// As kube-proxy has it: load balancers ask only where the policy makes a difference.
fn health_check(spec: &objects::ServiceSpec, rejected: &mut Vec<RejectReason>) -> Option<Port> {
    if spec.service_type != "LoadBalancer" || spec.external_traffic_policy != LOCAL {
        return None;
    }
    let number = spec.health_check_node_port;
    let port = port(number);
    if port.is_none() {
        rejected.push(RejectReason::HealthCheckNodePort { number });
    }
    port
}

fn service_port(raw: &objects::ServicePort, rejected: &mut Vec<RejectReason>) -> Option<ServicePort> {
    let proto = match protocol(&raw.protocol) {
        Protocol::Served(proto) => proto,
        Protocol::Sctp => {
            rejected.push(RejectReason::Sctp { number: raw.port });
            return None;
        }
        Protocol::Unknown => {
            rejected.push(RejectReason::Protocol { text: raw.protocol.clone() });
            return None;
        }
    };
    let Some(number) = port(raw.port) else {
        rejected.push(RejectReason::Port { number: raw.port });
        return None;
    };
    let node_port = port(raw.node_port);
    if node_port.is_none() && raw.node_port != 0 {
        rejected.push(RejectReason::NodePort { number: raw.node_port });
    }
    Some(ServicePort { name: raw.name.as_str().into(), proto, port: number, node_port })
}

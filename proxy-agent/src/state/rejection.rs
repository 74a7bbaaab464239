//! What was left out, and why.

use crate::watch::objects::{Kind, ObjectName};
use proxy_common::abi::{FrontendKey, Port};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

/// Something that was left out of the tables, or taken for something else; everything else of the object is served.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rejection {
    /// Kind of the object.
    pub kind: Kind,
    /// The object.
    pub object: ObjectName,
    /// The Service that it belongs to, or its own name if it is one; of the object's namespace.
    pub service: Option<Arc<str>>,
    /// Why.
    pub reason: RejectReason,
    /// How many more parts of the object were left out for a like reason.
    pub more: usize,
}

/// Why something was left out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum RejectReason {
    /// A Service's address makes no sense.
    #[error("clusterIP {text}: {why}; that family is not served")]
    ClusterIp {
        /// The address.
        text: String,
        /// What is wrong with it.
        why: BadAddress,
    },
    /// One of a Service's externalIPs makes no sense.
    #[error("externalIP {text}: {why}; it is not served")]
    ExternalIp {
        /// The address.
        text: String,
        /// What is wrong with it.
        why: BadAddress,
    },
    /// An address of a Service's load balancer makes no sense.
    #[error("load-balancer address {text}: {why}; it is not served")]
    LoadBalancerIp {
        /// The address.
        text: String,
        /// What is wrong with it.
        why: BadAddress,
    },
    /// One of a Service's source ranges makes no sense.
    #[error("source range {text:?}: write a prefix such as 203.0.113.0/24; it lets nobody in")]
    SourceRange {
        /// The range.
        text: String,
    },
    /// A Service's port makes no sense.
    #[error("port {number}: write a number from 1 to 65535; the port is not served")]
    Port {
        /// The number.
        number: i64,
    },
    /// A NodePort makes no sense.
    #[error("nodePort {number}: write a number from 1 to 65535; the NodePort is not served")]
    NodePort {
        /// The number.
        number: i64,
    },
    /// The protocol is SCTP (S44).
    #[error("port {number} is SCTP, and Sluice serves TCP and UDP alone; the port is not served")]
    Sctp {
        /// The port's number.
        number: i64,
    },
    /// Load balancers are to ask for a Service's health, and there is no port for it (S49).
    #[error("healthCheckNodePort {}: write a number from 1 to 65535; load balancers get no answer from this node", given(*.number))]
    HealthCheckNodePort {
        /// The number; 0 = none was given.
        number: i64,
    },
    /// Another Service has the healthCheckNodePort (S9).
    #[error("healthCheckNodePort {port} belongs to the older Service {owner}; it goes to this one when that one leaves it")]
    HealthCheckTaken {
        /// What both claim.
        port: Port,
        /// Who has it.
        owner: ObjectName,
    },
    /// For so long no client keeps its backend (S43).
    #[error("timeoutSeconds {seconds} of sessionAffinity: write a number from 1 to 86400; {taken} is taken")]
    AffinityTimeout {
        /// The number.
        seconds: i64,
        /// What is taken for it.
        taken: u32,
    },
    /// One of the Node's addresses makes no sense.
    #[error("address {text}: no IP address; it is left out")]
    NodeAddress {
        /// The address.
        text: String,
    },
    /// One of the Node's podCIDRs makes no sense.
    #[error("podCIDR {text}: write a prefix such as 10.244.1.0/24; no client counts as a pod of this node by it")]
    PodCidr {
        /// The prefix.
        text: String,
    },
    /// The protocol is unknown.
    #[error("protocol {text}: write TCP, UDP or SCTP; the port is not served")]
    Protocol {
        /// The protocol.
        text: String,
    },
    /// Two ports of a Service have one name and protocol (S4).
    #[error("two ports are named {name:?} with one protocol: give each a name of its own; the first is served")]
    PortName {
        /// The name.
        name: String,
    },
    /// A name is too long for the tables, and for Kubernetes.
    #[error("names of namespace, Service and port have at most 63 bytes; the port is not served")]
    NameTooLong,
    /// An endpoint's address makes no sense.
    #[error("endpoint {text}: {why}; it is left out")]
    Endpoint {
        /// The address.
        text: String,
        /// What is wrong with it.
        why: BadAddress,
    },
    /// An endpoint port makes no sense.
    #[error("endpoint port {number}: write a number from 1 to 65535; the port is left out")]
    EndpointPort {
        /// The number.
        number: i64,
    },
    /// A ServiceCIDR's prefix makes no sense.
    #[error("prefix {text}: write one such as 10.96.0.0/16, of addresses that Services can have; it is left out")]
    ServiceCidr {
        /// The prefix.
        text: String,
    },
    /// A word of a newer API version: what is safe is done, and said.
    #[error("{field} {text:?} is unknown to this version of Sluice: {meaning}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// The word.
        text: String,
        /// What is made of it.
        meaning: &'static str,
    },
    /// Another Service has the address and port, or the NodePort (S9).
    #[error("{key} belongs to the older Service {owner}; it goes to this one when that one leaves it", key = Dialled(*.key))]
    Taken {
        /// What both claim.
        key: FrontendKey,
        /// Who has it.
        owner: ObjectName,
    },
}

/// What is wrong with an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum BadAddress {
    /// It is none.
    #[error("no IP address")]
    Unparsable,
    /// It is of the other family.
    #[error("not of the slice's address family")]
    WrongFamily,
    /// It is 0.0.0.0 or `::`.
    #[error("the unspecified address")]
    Unspecified,
    /// It is a loopback address.
    #[error("a loopback address")]
    Loopback,
    /// It is a multicast or broadcast address.
    #[error("a multicast or broadcast address")]
    Multicast,
    /// It is a link-local address.
    #[error("a link-local address")]
    LinkLocal,
}

impl RejectReason {
    /// The reason's name in metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::ClusterIp { .. } => "cluster_ip",
            Self::ExternalIp { .. } => "external_ip",
            Self::LoadBalancerIp { .. } => "load_balancer_ip",
            Self::SourceRange { .. } => "source_range",
            Self::Port { .. } => "port",
            Self::NodePort { .. } => "node_port",
            Self::Sctp { .. } => "sctp",
            Self::HealthCheckNodePort { .. } => "health_check_node_port",
            Self::AffinityTimeout { .. } => "affinity_timeout",
            Self::NodeAddress { .. } => "node_address",
            Self::PodCidr { .. } => "pod_cidr",
            Self::Protocol { .. } => "protocol",
            Self::PortName { .. } => "port_name",
            Self::NameTooLong => "name_too_long",
            Self::Endpoint { .. } => "endpoint_address",
            Self::EndpointPort { .. } => "endpoint_port",
            Self::ServiceCidr { .. } => "service_cidr",
            Self::Unknown { .. } => "unknown_value",
            Self::Taken { .. } | Self::HealthCheckTaken { .. } => "taken",
        }
    }

    /// Whether something is not served because of it.
    pub const fn is_left_out(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::AffinityTimeout { .. })
    }

    /// What it is alike by to others of the same object, of which one is named and the rest counted. Of unknown words each field's
    /// has a meaning of its own.
    const fn likeness(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown { field, .. } => (self.label(), *field),
            _ => (self.label(), ""),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.object, self.reason)?;
        if self.more > 0 { write!(f, " (and {} more)", self.more) } else { Ok(()) }
    }
}

/// So many rejections are remembered.
const REMEMBERED: usize = 1_024;

/// What was said, the last of it: an object that comes and goes all the time is no reason to say it again.
#[derive(Debug, Default)]
pub struct Said {
    known: BTreeSet<Rejection>,
    order: VecDeque<Rejection>,
}

impl Said {
    /// Whether it was not said lately; from now on it was.
    pub fn is_new(&mut self, rejection: &Rejection) -> bool {
        let one = Rejection { more: 0, ..rejection.clone() };
        if !self.known.insert(one.clone()) {
            return false;
        }
        self.order.push_back(one);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// A number as the object has it, where 0 says that it has none.
fn given(number: i64) -> String {
    if number == 0 { "is missing".into() } else { number.to_string() }
}

/// An address and port as operators write them.
struct Dialled(FrontendKey);

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FrontendKey { addr, port, proto, .. } = self.0;
        let proto = proto.name().unwrap_or("?");
        match std::net::IpAddr::from(addr) {
            ip if addr == addr.any() => write!(f, "NodePort {port} {proto} ({})", if ip.is_ipv4() { "IPv4" } else { "IPv6" }),
            ip => write!(f, "{} {proto}", std::net::SocketAddr::new(ip, port.number())),
        }
    }
}

/// One rejection for all reasons of an object that are alike: the first, and how many more there were.
pub fn summarise(kind: Kind, object: &ObjectName, service: Option<&Arc<str>>, reasons: Vec<RejectReason>) -> Vec<Rejection> {
    let mut found: BTreeMap<_, Rejection> = BTreeMap::new();
    for reason in reasons {
        found.entry(reason.likeness()).and_modify(|rejection| rejection.more += 1).or_insert_with(|| Rejection {
            kind,
            object: object.clone(),
            service: service.cloned(),
            reason,
            more: 0,
        });
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(name: &str, more: usize) -> Rejection {
        let reason = RejectReason::Port { number: 0 };
        Rejection { kind: Kind::Service, object: ObjectName::new("n", name), service: Some(name.into()), reason, more }
    }

    #[test]
    fn what_was_said_lately_is_not_said_again() {
        let mut said = Said::default();
        assert!(said.is_new(&rejection("a", 0)));
        assert!(!said.is_new(&rejection("a", 7)), "how many more there are is no news");
        assert!(said.is_new(&rejection("b", 0)));
        (0..REMEMBERED).for_each(|number| assert!(said.is_new(&rejection(&number.to_string(), 0))));
        assert!(said.is_new(&rejection("a", 0)), "that was long ago");
        assert_eq!((said.known.len(), said.order.len()), (REMEMBERED, REMEMBERED));
    }
}

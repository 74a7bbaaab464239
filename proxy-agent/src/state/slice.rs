//! EndpointSlices as facts.

use super::check::{Protocol, address, note_unknown, port, protocol};
use super::rejection::{BadAddress, RejectReason};
use crate::watch::objects::{self, ObjectName};
use proxy_common::abi::{Addr, Family, Port, Proto};
use std::net::IpAddr;
use std::sync::Arc;

/// With this label a slice belongs to a headless Service, whatever its value (S1).
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// The label that names a slice's Service (S5).
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A slice of a Service's endpoints in one family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slice {
    /// The Service.
    pub service: ObjectName,
    /// The family of every endpoint.
    pub family: Family,
    /// The ports of every endpoint.
    pub ports: Vec<SlicePort>,
    /// The endpoints, sorted by address; of one address in the order of the slice.
    pub endpoints: Vec<Endpoint>,
}

/// A port of every endpoint of a slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlicePort {
    /// The service port's name.
    pub name: Box<str>,
    /// The service port's protocol.
    pub proto: Proto,
    /// The endpoints' port (S6).
    pub port: Port,
}

/// An endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Its address.
    pub addr: Addr,
    /// It takes new connections (S7).
    pub ready: bool,
    /// It answers, if only its old clients (S7).
    pub serving: bool,
    /// It is going away (S7).
    pub terminating: bool,
    /// It runs on this node (S8).
    pub local: bool,
    /// The nodes that it is meant for (S19).
    pub for_nodes: NodeHint,
    /// The zones that it is meant for (S19); endpoints of a slice share them.
    pub for_zones: Arc<[Box<str>]>,
}

/// The nodes that an endpoint is meant for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeHint {
    /// It does not say.
    Unsaid,
    /// This one among them.
    Here,
    /// Others.
    Elsewhere,
}

/// What the object says to the node `node`, and what of it was left out. `None` if it is not for us (S1, S5).
pub fn slice(object: &objects::EndpointSlice, node: &str, rejected: &mut Vec<RejectReason>) -> Option<Slice> {
    let service = service_name(object)?;
    if object.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(HEADLESS)) {
        return None;
    }
    let family = match object.address_type.as_str() {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        other => {
            note_unknown("addressType", other, &["FQDN"], "the slice is passed over", rejected);
            return None;
        }
    };
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    Some(Slice {
        service: ObjectName::new(namespace, service),
        family,
        ports: object.ports.iter().filter_map(|port| slice_port(port, rejected)).collect(),
        endpoints: endpoints(&object.endpoints, family, node, rejected),
    })
}

/// The Service that the object says it belongs to.
pub fn service_name(object: &objects::EndpointSlice) -> Option<&str> {
    object.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str).filter(|name| !name.is_empty())
}

fn endpoints(raw: &[objects::Endpoint], family: Family, node: &str, rejected: &mut Vec<RejectReason>) -> Vec<Endpoint> {
    let mut known = vec![Arc::default()];
    let mut endpoints = Vec::with_capacity(raw.len());
    endpoints.extend(raw.iter().filter_map(|raw| endpoint(raw, family, node, &mut known, rejected)));
    endpoints.sort_by_key(|endpoint: &Endpoint| endpoint.addr);
    endpoints
}

fn slice_port(raw: &objects::EndpointPort, rejected: &mut Vec<RejectReason>) -> Option<SlicePort> {
    let (name, number) = (raw.name.as_deref()?, raw.port?);
    let text = raw.protocol.as_deref().unwrap_or("");
    let Protocol::Served(proto) = protocol(text) else {
        note_unknown("protocol", text, &["SCTP"], "the port is left out", rejected);
        return None;
    };
    let Some(port) = port(number) else {
        rejected.push(RejectReason::EndpointPort { number });
        return None;
    };
    Some(SlicePort { name: name.into(), proto, port })
}

fn endpoint(
    raw: &objects::Endpoint,
    family: Family,
    node: &str,
    known: &mut Vec<Arc<[Box<str>]>>,
    rejected: &mut Vec<RejectReason>,
) -> Option<Endpoint> {
    let text = raw.addresses.first()?;
    let addr = match address(text) {
        Ok(ip) if family_of(ip) == family => ip.into(),
        Ok(_) => {
            rejected.push(RejectReason::Endpoint { text: text.clone(), why: BadAddress::WrongFamily });
            return None;
        }
        Err(why) => {
            rejected.push(RejectReason::Endpoint { text: text.clone(), why });
            return None;
        }
    };
    let ready = raw.conditions.ready.unwrap_or(true);
    Some(Endpoint {
        addr,
        ready,
        serving: raw.conditions.serving.unwrap_or(ready),
        terminating: raw.conditions.terminating.unwrap_or(false),
        local: raw.node_name.as_deref() == Some(node),
        for_nodes: node_hint(raw.hints.as_ref(), node),
        for_zones: zone_hints(raw.hints.as_ref(), known),
    })
}

const fn family_of(ip: IpAddr) -> Family {
    match ip {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

fn node_hint(hints: Option<&objects::Hints>, node: &str) -> NodeHint {
    match hints.map_or(&[][..], |hints| &hints.for_nodes) {
        [] => NodeHint::Unsaid,
        nodes if nodes.iter().any(|hint| hint.name == node) => NodeHint::Here,
        _ => NodeHint::Elsewhere,
    }
}

/// The zones, shared with an earlier endpoint that is meant for the same.
fn zone_hints(hints: Option<&objects::Hints>, known: &mut Vec<Arc<[Box<str>]>>) -> Arc<[Box<str>]> {
    let zones = hints.map_or(&[][..], |hints| &hints.for_zones);
    let same = |other: &&Arc<[Box<str>]>| other.iter().map(|zone| &**zone).eq(zones.iter().map(|hint| hint.name.as_str()));
    if let Some(shared) = known.iter().find(same) {
        return shared.clone();
    }
    let fresh: Arc<[Box<str>]> = zones.iter().map(|hint| hint.name.as_str().into()).collect();
    known.push(fresh.clone());
    fresh
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Option<Slice> {
        slice(&serde_json::from_str(json).unwrap(), "node-1", &mut Vec::new())
    }

    #[test]
    fn s5_nulls() {
        let slice = facts(
            r#"{"metadata": {"name": "a", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4",
                "ports": [{"name": null, "port": 1}, {"name": "", "port": 2}, {"name": "p", "port": null}, {"name": "u", "port": 3,
                "protocol": null}], "endpoints": [{"addresses": null}, {"addresses": []}, {"addresses": ["10.0.0.1", "x"]}]}"#,
        )
        .unwrap();
        let ports: Vec<_> = slice.ports.iter().map(|port| (&*port.name, port.port.number(), port.proto)).collect();
        assert_eq!(ports, [("", 2, Proto::TCP), ("u", 3, Proto::TCP)], "the name null is none of ours, the empty one is");
        assert_eq!(slice.endpoints.len(), 1);
    }

    #[test]
    fn the_cause_of_a_change() {
        let text = r#"{"metadata": {"annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2024-01-01T00:00:01.5Z", "x": "y"}},
            "addressType": "IPv6"}"#;
        let object: objects::EndpointSlice = serde_json::from_str(text).unwrap();
        assert_eq!(object.trigger(), Some((Family::V6, "2024-01-01T00:00:01.5Z".parse().unwrap())));
        assert_eq!(object.metadata.annotations.unwrap().len(), 1, "other annotations are not kept");
    }
}

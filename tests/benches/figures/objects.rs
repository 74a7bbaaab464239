//! Synthetic Services and EndpointSlices: as users write them, and as an API server sends them, with the fields that nobody here
//! reads.

use anyhow::{Result, ensure};
use proxy_agent::watch::Event;
use proxy_agent::watch::objects::{EndpointSlice, Object, Service};

/// Endpoints that a slice holds at most, as the EndpointSlice controller has it.
const ROOM: usize = 100;
/// Nodes that endpoints are spread over.
const NODES: usize = 250;
const CREATED: &str = "2026-01-01T00:00:00Z";
const SERVICE_FIELDS: &str = r#"{"f:metadata":{"f:labels":{".":{},"f:app":{},"f:team":{}}},"f:spec":{"f:internalTrafficPolicy":{},"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:sessionAffinity":{},"f:type":{}}}"#;
const SLICE_FIELDS: &str = r#"{"f:addressType":{},"f:endpoints":{},"f:metadata":{"f:annotations":{".":{},"f:endpoints.kubernetes.io/last-change-trigger-time":{}},"f:generateName":{},"f:labels":{".":{},"f:endpointslice.kubernetes.io/managed-by":{},"f:kubernetes.io/service-name":{}},"f:ownerReferences":{".":{}}},"f:ports":{}}"#;

/// How large a cluster is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Services, of one port each.
    pub services: usize,
    /// Endpoints of each Service.
    pub endpoints: usize,
}

/// Who an object comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A user, who writes it.
    User,
    /// The API server, which adds what it knows.
    Server,
}

impl Size {
    /// So many Services, each with so many endpoints.
    pub const fn new(services: usize, endpoints: usize) -> Self {
        Self { services, endpoints }
    }

    /// Slices of each Service.
    pub const fn slices(self) -> usize {
        self.endpoints.div_ceil(ROOM)
    }

    /// The list of Services and the list of slices, decoded.
    pub fn lists(self) -> Result<[Vec<Event>; 2]> {
        let services = (0..self.services).map(|number| service(&service_json(number, From::Server)));
        let slices = (0..self.services).flat_map(|number| (0..self.slices()).map(move |part| (number, part)));
        let slices = slices.map(|(number, part)| self.slice(number, part, &[]));
        Ok([services.collect::<Result<_>>()?, slices.collect::<Result<_>>()?])
    }

    /// The event of a slice; the endpoints whose places are in `replaced` have other addresses than in the list.
    pub fn slice(self, number: usize, part: usize, replaced: &[usize]) -> Result<Event> {
        slice(&self.slice_json(number, part, replaced, From::Server))
    }

    /// A slice of a Service.
    pub fn slice_json(self, number: usize, part: usize, replaced: &[usize], from: From) -> String {
        let places = part * ROOM..self.endpoints.min((part + 1) * ROOM);
        let endpoints: Vec<String> = places.map(|place| self.endpoint(number, place, replaced.contains(&place))).collect();
        format!(
            r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"{}","namespace":"default",{}"labels":{{"app":"{2}","endpointslice.kubernetes.io/managed-by":"figures","kubernetes.io/service-name":"{2}"}}}},"addressType":"IPv4","ports":[{{"name":"http","protocol":"TCP","port":8080}}],"endpoints":[{3}]}}"#,
            slice_name(number, part),
            kept_by_server(number, SLICE_FIELDS, from),
            name_of(number),
            endpoints.join(",")
        )
    }

    fn endpoint(self, number: usize, place: usize, replaced: bool) -> String {
        let address = 2 * (number * self.endpoints + place) + usize::from(replaced);
        let [_, b, c, d] = (address as u32).to_be_bytes();
        let (node, name, uid) = ((number + place) % NODES, name_of(number), uid(address));
        format!(
            r#"{{"addresses":["11.{b}.{c}.{d}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"targetRef":{{"kind":"Pod","namespace":"default","name":"{name}-7d4b9c6f5-{place:05}","uid":"{uid}"}},"nodeName":"node-{node}","zone":"zone-{}"}}"#,
            node % 3
        )
    }
}

/// A Service. A user leaves its address to the API server.
pub fn service_json(number: usize, from: From) -> String {
    let [_, b, c, d] = (number as u32 + 256).to_be_bytes();
    let ip = format!("10.{}.{c}.{d}", 96 + b);
    let address = if from == From::Server { format!(r#""clusterIP":"{ip}","clusterIPs":["{ip}"],"#) } else { String::new() };
    format!(
        r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{0}","namespace":"default",{1}"labels":{{"app":"{0}","team":"team-{2}"}},"annotations":{{"example.com/owner":"team-{2}@example.com"}}}},"spec":{{{address}"type":"ClusterIP","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster","sessionAffinity":"None","ports":[{{"name":"http","protocol":"TCP","port":80,"targetPort":8080}}]}},"status":{{"loadBalancer":{{}}}}}}"#,
        name_of(number),
        kept_by_server(number, SERVICE_FIELDS, from),
        number % 40
    )
}

/// The event of a Service.
pub fn service(json: &str) -> Result<Event> {
    let decoded: Service = serde_json::from_str(json)?;
    ensure!(!decoded.spec.ports.is_empty(), "a Service without ports");
    Ok(Event::from(Object::from(decoded)))
}

/// The event of a slice.
pub fn slice(json: &str) -> Result<Event> {
    let decoded: EndpointSlice = serde_json::from_str(json)?;
    ensure!(!decoded.endpoints.is_empty(), "a slice without endpoints");
    Ok(Event::from(Object::from(decoded)))
}

/// The name of a Service.
pub fn name_of(number: usize) -> String {
    format!("service-{number}")
}

/// The name of a slice.
pub fn slice_name(number: usize, part: usize) -> String {
    format!("service-{number}-{part:05}")
}

fn kept_by_server(number: usize, fields: &str, from: From) -> String {
    match from {
        From::User => String::new(),
        From::Server => format!(
            r#""uid":"{}","resourceVersion":"{}","creationTimestamp":"{CREATED}","generation":3,"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"{CREATED}","fieldsType":"FieldsV1","fieldsV1":{fields}}}],"#,
            uid(number),
            100_000 + number
        ),
    }
}

fn uid(number: usize) -> String {
    format!("c0ffee00-0000-4000-8000-{number:012x}")
}

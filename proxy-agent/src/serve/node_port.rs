//! healthCheckNodePort: for each Service that asks for it an HTTP server on this node's NodePort addresses, which tells load
//! balancers how many endpoints are here (S49, S50).
//!
//! Invariant: at any time there is a listener for each address and port that is wanted, or a failure that was said once; and none
//! that is not wanted. What a change costs depends on what changed alone.

use super::health::Health;
use super::http::NOSNIFF;
use super::listen::Listener;
use crate::state::HealthCheck;
use crate::watch::objects::ObjectName;
use crate::watch::{About, Gravity, Notice};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use proxy_common::abi::{Family, Port};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// The header by which a load balancer may weigh nodes.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// The servers of all Services.
#[derive(Debug)]
pub struct HealthServers {
    node: String,
    health: Arc<Health>,
    servers: BTreeMap<(ObjectName, Family), Server>,
    addresses: Vec<IpAddr>,
}

/// The server of one Service in one family.
#[derive(Debug)]
struct Server {
    port: Port,
    answers: Arc<Answers>,
    listeners: BTreeMap<IpAddr, Listener>,
    failed: BTreeMap<IpAddr, String>,
}

/// What a server answers from.
#[derive(Debug)]
struct Answers {
    service: ObjectName,
    endpoints: AtomicUsize,
    health: Arc<Health>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    service: Name<'a>,
    local_endpoints: usize,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct Name<'a> {
    namespace: &'a str,
    name: &'a str,
}

impl HealthServers {
    /// None yet, on the node of this name.
    pub const fn new(node: String, health: Arc<Health>) -> Self {
        Self { node, health, servers: BTreeMap::new(), addresses: Vec::new() }
    }

    /// These Services want these checks now, none of them to be answered if there are none; says what fails afresh.
    pub fn set(&mut self, changed: &[(ObjectName, Vec<HealthCheck>)]) -> Vec<Notice> {
        // What closes goes first: a port may change hands.
        for (service, checks) in changed {
            for family in [Family::V4, Family::V6] {
                let key = (service.clone(), family);
                let port = checks.iter().find(|check| check.family == family).map(|check| check.port);
                if self.servers.get(&key).is_some_and(|server| Some(server.port) != port) {
                    self.servers.remove(&key);
                }
            }
        }
        let mut said = Vec::new();
        for (service, check) in changed.iter().flat_map(|(service, checks)| checks.iter().map(move |check| (service, check))) {
            let server = self.servers.entry((service.clone(), check.family)).or_insert_with(|| {
                let answers = Answers { service: service.clone(), endpoints: AtomicUsize::new(0), health: self.health.clone() };
                Server::new(check.port, answers)
            });
            server.answers.endpoints.store(check.endpoints, Ordering::Relaxed);
            let missing = server.missing(check.family, &self.addresses);
            said.extend(open(&self.node, service, server, missing));
        }
        said
    }

    /// NodePorts are served at these addresses now; says what fails afresh.
    pub fn set_addresses(&mut self, addresses: &[IpAddr]) -> Vec<Notice> {
        if self.addresses == addresses {
            return Vec::new();
        }
        self.addresses = addresses.to_vec();
        self.servers.iter_mut().for_each(|((_, family), server)| server.leave_others(*family, addresses));
        let mut said = Vec::new();
        for ((service, family), server) in &mut self.servers {
            let missing = server.missing(*family, addresses);
            said.extend(open(&self.node, service, server, missing));
        }
        said
    }

    /// Tries again what failed; says what fails otherwise than before.
    pub fn retry(&mut self) -> Vec<Notice> {
        let mut said = Vec::new();
        for ((service, _), server) in &mut self.servers {
            let failed = server.failed.keys().copied().collect();
            said.extend(open(&self.node, service, server, failed));
        }
        said
    }

    /// What can't be listened on, in the order of Services.
    pub fn failures(&self) -> impl Iterator<Item = String> + '_ {
        self.servers.iter().flat_map(|((service, _), server)| {
            let text = |(address, error): (&IpAddr, &String)| {
                format!("health checks of {service} can't be answered at {}: {error}", server.at(*address))
            };
            server.failed.iter().map(text).collect::<Vec<_>>()
        })
    }
}

/// Opens a server's sockets at these addresses, and says what fails afresh.
fn open(node: &str, service: &ObjectName, server: &mut Server, addresses: Vec<IpAddr>) -> Vec<Notice> {
    let failed: Vec<_> =
        addresses.into_iter().filter_map(|address| server.open(address).map(|error| (address, error))).collect();
    failed.into_iter().map(|(address, error)| notice(node, service, server.at(address), &error)).collect()
}

impl Server {
    fn new(port: Port, answers: Answers) -> Self {
        Self { port, answers: Arc::new(answers), listeners: BTreeMap::new(), failed: BTreeMap::new() }
    }

    fn at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.port.number())
    }

    /// The addresses of a family that it does not listen at.
    fn missing(&self, family: Family, addresses: &[IpAddr]) -> Vec<IpAddr> {
        of_family(family, addresses).filter(|address| !self.listeners.contains_key(address)).collect()
    }

    fn leave_others(&mut self, family: Family, addresses: &[IpAddr]) {
        let own: Vec<IpAddr> = of_family(family, addresses).collect();
        self.listeners.retain(|address, _| own.contains(address));
        self.failed.retain(|address, _| own.contains(address));
    }

    /// What kept a socket from opening, unless it did so before.
    fn open(&mut self, address: IpAddr) -> Option<String> {
        let at = self.at(address);
        match Listener::bind_family(at) {
            Ok(listener) => {
                listener.serve(axum::Router::new().fallback(answer).with_state(self.answers.clone()));
                tracing::info!(service = %self.answers.service, %at, "answering health checks");
                self.listeners.insert(address, listener);
                self.failed.remove(&address);
                None
            }
            Err(error) => {
                let error = reason(&error);
                let known = self.failed.insert(address, error.clone());
                known.is_none_or(|known| known != error).then_some(error)
            }
        }
    }
}

fn of_family(family: Family, addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> + '_ {
    addresses.iter().copied().filter(move |address| address.is_ipv4() == (family == Family::V4))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken (`ss -ltnp` shows by whom)".into(),
        _ => error.to_string(),
    }
}

fn notice(node: &str, service: &ObjectName, at: SocketAddr, error: &str) -> Notice {
    Notice {
        about: About::Service(service.clone()),
        gravity: Gravity::Warning,
        reason: "FailedToStartServiceHealthcheck",
        action: "Listen",
        message: format!(
            "node {node} can't answer health checks of {service} at {at}: {error}; free the port or give the Service another \
             healthCheckNodePort (trying again)"
        ),
    }
}

async fn answer(State(facts): State<Arc<Answers>>) -> Response {
    let count = facts.endpoints.load(Ordering::Relaxed);
    let (healthy, _) = facts.health.live(Instant::now(), Timestamp::now());
    let code = if count > 0 && healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let service = Name { namespace: &facts.service.namespace, name: &facts.service.name };
    let answer = Answer { service, local_endpoints: count, service_proxy_healthy: healthy };
    (code, [NOSNIFF, (WEIGHT, HeaderValue::from(count))], axum::Json(answer)).into_response()
}

#[cfg(test)]
#[path = "node_port_tests.rs"]
mod tests;

//! healthCheckNodePort: for each Service that asks for it an HTTP server on this node's NodePort addresses, which tells load
//! balancers how many endpoints are here (S49, S50).
//!
//! Invariant: after each [`HealthServers::sync`] there is a listener for each address and port that is wanted, or a failure that
//! was said once; and none that is not wanted.

use super::health::Health;
use super::http::NOSNIFF;
use super::listen::Listener;
use crate::control::HealthChecks;
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
        Self { node, health, servers: BTreeMap::new() }
    }

    /// Opens what is wanted at these addresses, closes what is not, and says what fails afresh. What failed is tried again.
    pub fn sync(&mut self, wanted: &HealthChecks, addresses: &[IpAddr]) -> Vec<Notice> {
        self.servers.retain(|(service, family), server| {
            let check = wanted.get(service).and_then(|checks| checks.iter().find(|check| check.family == *family));
            check.is_some_and(|check| check.port == server.port)
        });
        self.servers.iter_mut().for_each(|((_, family), server)| server.leave_others(*family, addresses));
        let mut said = Vec::new();
        for (service, checks) in wanted {
            for check in checks {
                said.extend(self.serve(service, check, addresses));
            }
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

    fn serve(&mut self, service: &ObjectName, check: &HealthCheck, addresses: &[IpAddr]) -> Vec<Notice> {
        let health = &self.health;
        let server = self.servers.entry((service.clone(), check.family)).or_insert_with(|| {
            let answers = Answers { service: service.clone(), endpoints: AtomicUsize::new(0), health: health.clone() };
            Server::new(check.port, answers)
        });
        server.answers.endpoints.store(check.endpoints, Ordering::Relaxed);
        let own: Vec<IpAddr> = of_family(check.family, addresses).filter(|addr| !server.listeners.contains_key(addr)).collect();
        let failed = own.into_iter().filter_map(|address| server.open(address).map(|error| (address, error)));
        let failed: Vec<_> = failed.collect();
        failed.into_iter().map(|(address, error)| notice(&self.node, service, server.at(address), &error)).collect()
    }
}

impl Server {
    fn new(port: Port, answers: Answers) -> Self {
        Self { port, answers: Arc::new(answers), listeners: BTreeMap::new(), failed: BTreeMap::new() }
    }

    fn at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.port.number())
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

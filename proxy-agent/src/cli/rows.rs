//! What the views of the tables look like in rows and in JSON: addresses and words where maps have bytes and bits.

use crate::config::Algorithm;
use crate::maps::{BackendView, ServiceView};
use ipnet::IpNet;
use proxy_common::abi::{Addr, BackendState, Family, FrontendKey, FrontendKind, Port, Proto, ServiceFlags, ServiceName};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// Who a service port is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub name: String,
    /// The port's name; empty for an unnamed one.
    pub port: String,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
}

/// A service port in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRow {
    /// Who it is.
    #[serde(flatten)]
    pub who: ServicePort,
    /// Its id in the tables.
    pub id: u32,
    /// `Cluster` or `Local`.
    pub internal_traffic_policy: &'static str,
    /// `Cluster` or `Local`.
    pub external_traffic_policy: &'static str,
    /// `random` or `maglev`.
    pub algorithm: &'static str,
    /// How long a client keeps its endpoint, in seconds; 0 = not at all.
    pub affinity_seconds: u32,
    /// Prefixes that may dial its load balancer's addresses; none if everybody may.
    pub source_ranges: Option<Vec<IpNet>>,
    /// What clients dial, ClusterIPs first.
    pub frontends: Vec<FrontendRow>,
    /// Where connections go, sorted by address.
    pub backends: Vec<BackendRow>,
}

/// What clients dial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendRow {
    /// `ClusterIP`, `NodePort`, `ExternalIP` or `LoadBalancer`.
    pub kind: &'static str,
    /// The address; none for a NodePort, which is served at several.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

/// An endpoint of a service port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRow {
    /// Its address and port.
    pub address: SocketAddr,
    /// What new and old connections may do.
    pub state: BackendWord,
    /// The sets that it is in: `Cluster`, `Local`.
    pub sets: Vec<&'static str>,
    /// Whether it runs on this node.
    pub local: bool,
    /// Its id in the tables.
    pub id: u32,
    /// Which user of the id it is.
    pub generation: u32,
}

/// A backend's state in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendWord {
    /// New connections choose among such: it is in one of the sets.
    Ready,
    /// It keeps the connections it has.
    Draining,
    /// It is on its way out.
    Ended,
}

impl BackendWord {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Ended => "ended",
        }
    }
}

impl ServicePort {
    /// As a row shows it.
    pub fn new(name: &ServiceName) -> Self {
        Self {
            namespace: name.namespace().to_owned(),
            name: name.name().to_owned(),
            port: name.port().to_owned(),
            protocol: protocol(name.proto),
            family: family(name.family()),
        }
    }

    /// `namespace/name`, and `:port` if the port has a name.
    pub fn title(&self) -> String {
        let colon = if self.port.is_empty() { "" } else { ":" };
        format!("{}/{}{colon}{}", self.namespace, self.name, self.port)
    }
}

impl FrontendRow {
    /// `address:port`, or `NodePort port`.
    pub fn title(&self) -> String {
        match self.address {
            Some(address) => SocketAddr::new(address, self.port).to_string(),
            None => format!("{} {}", self.kind, self.port),
        }
    }
}

/// The protocol's name as Kubernetes writes it.
pub fn protocol(proto: Proto) -> &'static str {
    proto.name().unwrap_or("?")
}

/// The family's name as Kubernetes writes it.
pub const fn family(family: Family) -> &'static str {
    crate::serve::metrics::family_label(family)
}

/// An address and a port.
pub fn socket(addr: Addr, port: Port) -> SocketAddr {
    SocketAddr::new(IpAddr::from(addr), port.number())
}

impl From<&ServiceView> for ServiceRow {
    fn from(view: &ServiceView) -> Self {
        let mut frontends: Vec<_> =
            view.frontends.iter().filter(|(_, kind)| *kind != FrontendKind::CLUSTER_REST).map(FrontendRow::from).collect();
        frontends.sort();
        let backends = view.backends.iter().map(BackendRow::from).collect();
        let policy = |flag| if view.flags.has(flag) { "Local" } else { "Cluster" };
        Self {
            who: ServicePort::new(&view.name),
            id: view.id.0,
            internal_traffic_policy: policy(ServiceFlags::INTERNAL_LOCAL),
            external_traffic_policy: policy(ServiceFlags::EXTERNAL_LOCAL),
            algorithm: if view.flags.has(ServiceFlags::MAGLEV) { Algorithm::Maglev } else { Algorithm::Random }.as_str(),
            affinity_seconds: view.affinity,
            source_ranges: view.sources.clone(),
            frontends,
            backends,
        }
    }
}

impl From<&(FrontendKey, FrontendKind)> for FrontendRow {
    fn from((key, kind): &(FrontendKey, FrontendKind)) -> Self {
        let address = (*kind != FrontendKind::NODE_PORT).then(|| IpAddr::from(key.addr));
        Self { kind: kind.name(), address, port: key.port.number() }
    }
}

impl From<&BackendView> for BackendRow {
    fn from(view: &BackendView) -> Self {
        let state = match (view.state.is_serving(), view.sets.is_chosen()) {
            (false, _) => BackendWord::Ended,
            (true, true) => BackendWord::Ready,
            (true, false) => BackendWord::Draining,
        };
        let (id, generation) = (view.id.0, view.generation.0);
        let names = [(BackendState::IN_CLUSTER, "Cluster"), (BackendState::IN_LOCAL, "Local")];
        let sets = names.into_iter().filter(|(set, _)| view.sets.has(*set)).map(|(_, name)| name).collect();
        Self { address: socket(view.addr, view.port), state, sets, local: view.local, id, generation }
    }
}

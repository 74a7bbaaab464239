//! The wanted table: plain values between `compile` and `sync`. No ids here, no kernel, no Kubernetes.

use ipnet::IpNet;
use proxy_common::abi::{Addr, BackendState, FrontendKey, FrontendKind, Port, ServiceFlags, ServiceName};
use std::sync::Arc;

/// Who a service port is. Shared: a name is longer than all else that is said of most.
pub type PortName = Arc<ServiceName>;

/// One service port in one family as it shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedService {
    /// Who it is: namespace, name, port name, protocol (S4) and family.
    pub name: PortName,
    /// Its place among those that want the same room: the lowest gets it (S9).
    pub age: Age,
    /// Which set serves whom, and what an empty one means.
    pub flags: ServiceFlags,
    /// How long a client keeps its backend after its last new connection, in seconds (S43); 0 = not at all.
    pub affinity: u32,
    /// Who may dial its load balancer's addresses, sorted, each once (S24); `None` = everybody.
    pub sources: Option<Vec<IpNet>>,
    /// What clients dial, sorted by key. Each key stands in one service alone: `compile` has settled conflicts (S9).
    pub frontends: Vec<(FrontendKey, FrontendKind)>,
    /// Every endpoint that serves, sorted by address and port, each once. The state says in which sets one is that new
    /// connections choose from (S16, S17); those in none keep the flows they have (S7, S46).
    pub backends: Vec<WantedBackend>,
}

/// When a Service was created, in seconds of Unix time; one without a time counts as newest (S9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Age(i64);

impl Age {
    /// Of what was found in the tables, before a list says when it was created: older than all.
    pub const UNKNOWN: Self = Self(i64::MIN);
}

impl From<Option<i64>> for Age {
    fn from(created: Option<i64>) -> Self {
        Self(created.unwrap_or(i64::MAX))
    }
}

/// One endpoint of a service port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedBackend {
    /// The endpoint's address.
    pub addr: Addr,
    /// The endpoint's port.
    pub port: Port,
    /// Whether it runs on this node (S8).
    pub local: bool,
    /// Whether it serves, and which sets it is in.
    pub state: BackendState,
}

impl WantedService {
    /// A service port of policies Cluster, the newest of all.
    pub fn new(name: impl Into<PortName>, frontends: Vec<(FrontendKey, FrontendKind)>, backends: Vec<WantedBackend>) -> Self {
        let flags = ServiceFlags::ENDPOINTS.when(backends.iter().any(|backend| backend.state.is_chosen()));
        Self { name: name.into(), age: Age::from(None), flags, affinity: 0, sources: None, frontends, backends }
    }

    /// The same with other frontends.
    #[must_use]
    pub fn with_frontends(&self, frontends: &[(FrontendKey, FrontendKind)]) -> Self {
        let Self { name, age, flags, affinity, sources, frontends: _, backends } = self;
        Self {
            name: name.clone(),
            age: *age,
            flags: *flags,
            affinity: *affinity,
            sources: sources.clone(),
            frontends: frontends.to_vec(),
            backends: backends.clone(),
        }
    }

    /// Whether the two are alike but for frontends.
    pub fn differs_in_frontends_alone(&self, other: &Self) -> bool {
        let Self { name, age, flags, affinity, sources, frontends: _, backends } = self;
        (name, age, flags, affinity, sources, backends)
            == (&other.name, &other.age, &other.flags, &other.affinity, &other.sources, &other.backends)
    }
}

/// A difference between the table that was and the table that shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The service port is new or differs.
    Set(WantedService),
    /// The service port is gone, with all its frontends (S13).
    Remove(PortName),
}

//! The wanted table: plain values between `compile` and `sync`. No ids here, no kernel, no Kubernetes.

use proxy_common::abi::{Addr, BackendState, FrontendKey, FrontendKind, Port, ServiceName};

/// One service port in one family as it shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedService {
    /// Who it is: namespace, name, port name, protocol (S4) and family.
    pub name: ServiceName,
    /// What clients dial, sorted by key. Each key stands in one service alone: `compile` has settled conflicts (S9).
    pub frontends: Vec<(FrontendKey, FrontendKind)>,
    /// Every endpoint that serves, sorted by address and port, each once. New connections choose among those whose state has
    /// [`BackendState::SELECTABLE`]; the others keep the flows they have (S7, S46).
    pub backends: Vec<WantedBackend>,
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
    /// Whether it serves, and whether new connections may choose it.
    pub state: BackendState,
}

/// A difference between the table that was and the table that shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The service port is new or differs.
    Set(WantedService),
    /// The service port is gone, with all its frontends (S13).
    Remove(ServiceName),
}

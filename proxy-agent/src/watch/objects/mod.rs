//! The objects that both sources deliver: of each Kubernetes type only the fields that matter here.
//!
//! Invariant: nothing but shape is checked. What a value means, and whether it makes sense, is for `state` to say; text stays
//! text, so that one odd value of a newer API version never spoils a list.

mod lenient;
mod meta;
mod node;
mod service;
mod slice;

pub use lenient::null_as_default;
pub use meta::{Kind, ObjectName};
pub use node::{Node, NodeAddress, NodeSpec, NodeStatus, Taint};
pub use service::{LoadBalancerIngress, LoadBalancerStatus, Service, ServicePort, ServiceSpec, ServiceStatus};
pub use slice::{Conditions, Endpoint, EndpointPort, EndpointSlice, Hint, Hints};

/// An object of one of the kinds that are followed.
#[derive(Clone, PartialEq, Debug)]
pub enum Object {
    /// A Service.
    Service(Service),
    /// An EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// A Node.
    Node(Node),
}

impl Object {
    /// The kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Node(_) => Kind::Node,
        }
    }

    /// Namespace and name.
    pub fn name(&self) -> ObjectName {
        ObjectName::of(match self {
            Self::Service(service) => &service.metadata,
            Self::EndpointSlice(slice) => &slice.metadata,
            Self::Node(node) => &node.metadata,
        })
    }
}

impl From<Service> for Object {
    fn from(service: Service) -> Self {
        Self::Service(service)
    }
}

impl From<EndpointSlice> for Object {
    fn from(slice: EndpointSlice) -> Self {
        Self::EndpointSlice(slice)
    }
}

impl From<Node> for Object {
    fn from(node: Node) -> Self {
        Self::Node(node)
    }
}

//! What the kernel's programs and the agent share, byte for byte.
//!
//! Every type is `repr(C)`, has no padding and derives [`bytemuck::Pod`], which proves it. IPv4 is written as v4-mapped IPv6,
//! so that one set of tables serves both families; addresses and ports are in network order, everything else in the host's.

mod addr;
mod affinity;
mod backend;
mod config;
mod connection;
mod filter;
mod flow;
mod frontend;
mod layout;
mod node;
mod reason;
mod service;
mod socket;
mod source;
mod version;

pub use addr::{
    Addr, Family, INTEREST_ANSWERS, INTEREST_DIALLED, INTEREST_FRONTEND, INTEREST_LEN, INTEREST_NODE, Port, Proto, Tuple,
};
pub use affinity::{Affinity, AffinityKey};
pub use backend::{Backend, BackendFlags, BackendId, BackendState, Generation};
pub use config::{Cidr, Config, Masquerade, PORT_RANGES, PortRange, SERVICE_CIDRS};
pub use connection::{Connection, End, Side};
pub use filter::{FLOW_FILTER_ASKED, FLOW_FILTER_LEN, FilterPlace};
pub use flow::{Flow, FlowFlags, FlowRoom, NextHop, Scratch};
pub use frontend::{Frontend, FrontendKey, FrontendKind};
pub use node::{AddressFlags, Bucket, DeviceFlags, ProgramState};
pub use reason::{COUNTER_SLOTS, Counter, Disposition, Hook, Reason};
pub use service::{Descriptor, ServiceFlags, ServiceId, ServiceName, ServiceWord, SlotRange};
pub use socket::{PeerKey, PeerValue, SocketState};
pub use source::{RangeSet, Source, SourceRange};
pub use version::ABI_VERSION;

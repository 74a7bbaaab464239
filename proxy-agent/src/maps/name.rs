//! The maps' names: in the object, under the pin folder and in messages alike.

use super::reader::FLOW_TABLES;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A map of the object.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum MapName { $($(#[$doc])* $variant,)* }

        impl MapName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name of the map and of its pin.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

names! {
    /// What clients dial.
    Frontends = "FRONTENDS",
    /// Which descriptor is in force.
    Services = "SERVICES",
    /// What services mean.
    Descriptors = "DESCRIPTORS",
    /// The sets that connections choose from.
    Slots = "SLOTS",
    /// Endpoints.
    Backends = "BACKENDS",
    /// What of an endpoint changes in place.
    BackendStates = "BACKEND_STATES",
    /// Who service ids are.
    Names = "NAMES",
    /// Who may dial load balancers' addresses.
    SourceRanges = "SOURCE_RANGES",
    /// TCP connections whose client keeps its address and port.
    Connections = "CONNECTIONS",
    /// TCP flows.
    Flows = "FLOWS",
    /// TCP flows that found no room there.
    FlowsSpill = "FLOWS_SPILL",
    /// UDP flows.
    FlowsAny = "FLOWS_ANY",
    /// UDP flows that found no room there.
    FlowsAnySpill = "FLOWS_ANY_SPILL",
    /// Who may stand in the flow tables.
    FlowRoom = "FLOW_ROOM",
    /// A hint at the keys that the flow tables hold.
    FlowFilter = "FLOW_FILTER",
    /// Unconnected UDP sockets.
    UdpPeers = "UDP_PEERS",
    /// Which backends clients keep.
    Affinity = "AFFINITY",
    /// Connected sockets.
    Sockets = "SOCKETS",
    /// The node's addresses.
    NodeAddresses = "NODE_ADDRESSES",
    /// The node's devices.
    Devices = "DEVICES",
    /// A hint at the addresses that concern us.
    Interest = "INTEREST",
    /// Settings.
    Config = "CONFIG",
    /// Verdicts.
    Counters = "COUNTERS",
    /// Connections of each service.
    ServiceCounters = "SERVICE_COUNTERS",
}

impl MapName {
    /// Whether flows stand in it, whole or as entries.
    pub fn holds_flows(self) -> bool {
        self == Self::Connections || FLOW_TABLES.contains(&self)
    }
}

impl std::fmt::Display for MapName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

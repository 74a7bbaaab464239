//! What a cluster is built from.

/// How pods are attached to their node and how nodes reach each other's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNetwork {
    /// A veth to each pod with a host route to it (as the `ptp` plugin, Calico and most clouds do); nodes route to each
    /// other's pods over the uplink.
    Routed,
    /// A bridge on each node that its pods hang on; nodes route to each other's pods over the uplink.
    Bridged,
    /// A bridge on each node, and VXLAN between the nodes as flannel makes it: one device a family, static neighbours.
    Overlay,
}

impl PodNetwork {
    /// All kinds, for loops over cases.
    pub const ALL: [Self; 3] = [Self::Routed, Self::Bridged, Self::Overlay];

    /// A word for the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Bridged => "bridged",
            Self::Overlay => "overlay",
        }
    }

    /// The MTU of a pod's device. Both families share it, so VXLAN over IPv6 sets it: 20 less than over IPv4.
    pub fn pod_mtu(self) -> u16 {
        match self {
            Self::Routed | Self::Bridged => 1500,
            Self::Overlay => 1430,
        }
    }
}

/// What is between the nodes and the outside client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// One segment for all.
    Segment,
    /// The outside client is in another subnet behind a router.
    Router,
}

/// A cluster to build.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The pod network.
    pub network: PodNetwork,
    /// The wire.
    pub wire: Wire,
    /// How many nodes.
    pub nodes: usize,
    /// `net.ipv4.conf.*.rp_filter` of the nodes: 2 (loose) as systemd sets it, 1 strict, 0 off.
    pub rp_filter: u8,
}

impl Spec {
    /// Two nodes on one segment with the outside client, reverse path filter loose.
    pub fn new(network: PodNetwork) -> Self {
        Self { network, wire: Wire::Segment, nodes: 2, rp_filter: 2 }
    }

    /// With the outside client behind a router.
    pub fn behind_router(mut self) -> Self {
        self.wire = Wire::Router;
        self
    }

    /// With another number of nodes.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// With another reverse path filter.
    pub fn rp_filter(mut self, rp_filter: u8) -> Self {
        self.rp_filter = rp_filter;
        self
    }
}

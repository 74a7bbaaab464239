//! How many entries each table has.

use super::MapName;

/// Number of entries of each table that grows with the cluster or with traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    /// Service ports, per family.
    pub services: u32,
    /// Addresses and ports that clients dial.
    pub frontends: u32,
    /// Endpoints of service ports.
    pub backends: u32,
    /// Places in the sets that connections choose from.
    pub slots: u32,
    /// Descriptors: one in force for each service, the rest for changes.
    pub descriptors: u32,
    /// Source ranges of all service ports.
    pub source_ranges: u32,
    /// TCP connections whose client keeps its address and port.
    pub connections: u32,
    /// Entries of TCP flows, two each.
    pub flows: u32,
    /// Entries of TCP flows that found no room there.
    pub flows_spill: u32,
    /// Entries of UDP flows.
    pub flows_any: u32,
    /// Entries of UDP flows that found no room there.
    pub flows_any_spill: u32,
    /// Peers of unconnected UDP sockets, and clients that keep a backend.
    pub udp_peers: u32,
}

/// Room for 32,000 ClusterIPs with a port each, and for 128,000. These entries are allocated ahead of time, 100 bytes each.
const FRONTENDS: [u64; 2] = [64 << 10, 256 << 10];

/// With 16 GiB and flows that stay for a minute after their end, 1,600 short connections a second fill three quarters of CONNECTIONS, or
/// of FLOWS.
const MEMORY_PER_ENTRY: u64 = 64 << 10;

impl Capacity {
    /// Defaults for a machine with `memory` bytes. A flow entry takes about 200 bytes of kernel memory, a connection 150, so that all
    /// together stay below one percent of it.
    pub fn for_memory(memory: u64) -> Self {
        let entries = memory / MEMORY_PER_ENTRY;
        let flows = entries.clamp(16 << 10, 512 << 10) as u32;
        let sizes = Self {
            services: 0,
            frontends: entries.clamp(FRONTENDS[0], FRONTENDS[1]) as u32,
            backends: 524_288,
            slots: 1_048_576,
            descriptors: 0,
            source_ranges: 262_144,
            connections: 0,
            flows: 0,
            flows_spill: 0,
            flows_any: 0,
            flows_any_spill: 0,
            udp_peers: flows / 2,
        };
        sizes.with_services(65_536).with_flows(flows).with_udp_flows(flows / 2)
    }

    /// The same with room for so many service ports, and with descriptors for their changes.
    #[must_use]
    pub const fn with_services(self, entries: u32) -> Self {
        Self { services: entries, descriptors: entries * 2, ..self }
    }

    /// The same with so many entries of TCP flows, and with as many as go with them of connections and of flows that find no room.
    #[must_use]
    pub const fn with_flows(self, entries: u32) -> Self {
        Self { connections: entries / 2, flows: entries, flows_spill: entries / 2, ..self }
    }

    /// The same with so many entries of UDP flows, and with as many as go with them of those that find no room there.
    #[must_use]
    pub const fn with_udp_flows(self, entries: u32) -> Self {
        Self { flows_any: entries, flows_any_spill: entries / 2, ..self }
    }

    /// Defaults for this machine.
    pub fn for_this_machine() -> Self {
        let memory = nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total());
        Self::for_memory(memory)
    }

    /// The number of entries of `map`; `None` where the object says it.
    pub const fn of(&self, map: MapName) -> Option<u32> {
        Some(match map {
            MapName::Services | MapName::Names | MapName::ServiceCounters => self.services,
            MapName::Frontends => self.frontends,
            MapName::Backends | MapName::BackendStates => self.backends,
            MapName::Slots => self.slots,
            MapName::Descriptors => self.descriptors,
            MapName::SourceRanges => self.source_ranges,
            MapName::Connections => self.connections,
            MapName::Flows => self.flows,
            MapName::FlowsSpill => self.flows_spill,
            MapName::FlowsAny => self.flows_any,
            MapName::FlowsAnySpill => self.flows_any_spill,
            MapName::UdpPeers | MapName::Affinity => self.udp_peers,
            MapName::FlowRoom
            | MapName::FlowFilter
            | MapName::Sockets
            | MapName::Interest
            | MapName::NodeAddresses
            | MapName::Devices
            | MapName::Config
            | MapName::Counters => return None,
        })
    }

    /// Takes over the number of entries that an existing `map` has.
    pub const fn adopt(&mut self, map: MapName, entries: u32) {
        match map {
            MapName::Services | MapName::Names | MapName::ServiceCounters => self.services = entries,
            MapName::Frontends => self.frontends = entries,
            MapName::Backends | MapName::BackendStates => self.backends = entries,
            MapName::Slots => self.slots = entries,
            MapName::Descriptors => self.descriptors = entries,
            MapName::SourceRanges => self.source_ranges = entries,
            MapName::Connections => self.connections = entries,
            MapName::Flows => self.flows = entries,
            MapName::FlowsSpill => self.flows_spill = entries,
            MapName::FlowsAny => self.flows_any = entries,
            MapName::FlowsAnySpill => self.flows_any_spill = entries,
            MapName::UdpPeers | MapName::Affinity => self.udp_peers = entries,
            MapName::FlowRoom
            | MapName::FlowFilter
            | MapName::Sockets
            | MapName::Interest
            | MapName::NodeAddresses
            | MapName::Devices
            | MapName::Config
            | MapName::Counters => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_and_frontends_follow_memory_within_bounds() {
        let frontends = [1, 6, 1 << 10].map(|gib| Capacity::for_memory(gib << 30).frontends);
        assert_eq!(frontends, [64 << 10, 96 << 10, 256 << 10]);
        assert_eq!(Capacity::for_memory(1 << 30).flows, 16 << 10);
        assert_eq!(Capacity::for_memory(16 << 30).flows, 256 << 10);
        assert_eq!(Capacity::for_memory(1 << 40).flows, 512 << 10);
    }
}

//! A node with two Services, and clients that dial them.

use crate::abi::{
    Addr, AddressFlags, BackendFlags, BackendId, Cidr, DeviceFlags, Family, Flow, FlowFlags, Frontend, FrontendKey,
    FrontendKind, Generation, Hook, Port, Proto, Reason, Scratch, ServiceId, Tuple,
};
use crate::lb::{Class, Direction, Edge, FlowTable, Path, Place, decide};
use crate::packet::{Parsed, TcpFlags};
use crate::testing::{Memory, Route};
use std::net::IpAddr;

/// SYN.
pub const SYN: u8 = 2;
/// SYN and ACK.
pub const SYN_ACK: u8 = 18;
/// ACK.
pub const ACK: u8 = 16;
/// FIN and ACK.
pub const FIN: u8 = 17;
/// RST.
pub const RST: u8 = 4;

/// The device to the clients.
pub const UPLINK: u32 = 2;
/// A device that XDP may not send to.
pub const OTHER: u32 = 3;

/// Into the node at the uplink.
pub const INGRESS: Place =
    Place { hook: Hook::TcIngress, edge: Edge::Outside, direction: Direction::Ingress, device: UPLINK, made_here: false };
/// Out of the node at the uplink, received elsewhere.
pub const EGRESS: Place =
    Place { hook: Hook::TcEgress, edge: Edge::Outside, direction: Direction::Egress, device: UPLINK, made_here: false };
/// Out of the node at the uplink, made here.
pub const MADE_HERE: Place = Place { made_here: true, ..EGRESS };
/// From a pod.
pub const POD: Place = Place { edge: Edge::Pod, device: 9, ..INGRESS };
/// Into the node at the uplink, at XDP.
pub const XDP: Place = Place { hook: Hook::Xdp, ..INGRESS };

/// Both families, for tests that hold in each.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// An address: the networks are 1 local pods, 2 remote pods, 3 pods behind the other device, 4 pods whose neighbour is not
/// resolved, 20 the wire, 30 clients, 96 ClusterIPs.
pub fn at(family: Family, net: u8, host: u8) -> Addr {
    let text = match family {
        Family::V4 => format!("10.{net}.0.{host}"),
        Family::V6 => format!("fd00:0:{net:x}::{host:x}"),
    };
    text.parse::<IpAddr>().expect("an address").into()
}

fn network(family: Family, net: u8) -> Cidr {
    Cidr::new(at(family, net, 0), if family == Family::V4 { 112 } else { 48 })
}

/// The node, and the client whose packets are asked about.
pub struct World {
    /// Tables and surroundings.
    pub env: Memory,
    /// The family of everything.
    pub family: Family,
    /// The protocol of everything.
    pub proto: Proto,
    /// The decision's values after the last packet.
    pub scratch: Scratch,
}

/// An end of a connection: network, host, port.
pub type End = (u8, u8, u16);

/// The client.
pub const CLIENT: End = (30, 1, 40_000);
/// The ClusterIP of the first Service.
pub const CLUSTER: End = (96, 1, 80);
/// The NodePort of the first Service.
pub const NODE_PORT: End = (20, 1, 30_080);
/// The ClusterIP of the second Service.
pub const SECOND: End = (96, 2, 80);
/// The first Service.
pub const SERVICE: ServiceId = ServiceId(1);

impl World {
    /// Two Services of TCP with the endpoint `backend` each; local pods are in network 1.
    pub fn tcp(family: Family, backend: End) -> Self {
        Self::new(family, Proto::TCP, backend)
    }

    /// Both ways in which TCP to a local backend is kept: as a connection, and, for lack of a place, as a flow.
    pub fn connection_and_flow(family: Family, backend: End) -> [Self; 2] {
        [Self::tcp(family, backend), Self::without_connections(family, backend)]
    }

    /// The same without a place for connections, so that everything is a flow.
    pub fn without_connections(family: Family, backend: End) -> Self {
        let mut world = Self::tcp(family, backend);
        world.env.places = 0;
        world
    }

    /// The same of UDP.
    pub fn udp(family: Family, backend: End) -> Self {
        Self::new(family, Proto::UDP, backend)
    }

    fn new(family: Family, proto: Proto, backend: End) -> Self {
        let mut env = Memory::default();
        env.set_ports(&[(50_000, 1_000)]);
        env.addresses.insert(at(family, 20, 1), AddressFlags::LOCAL.with(AddressFlags::NODE_PORT));
        env.devices.insert(UPLINK, DeviceFlags::XDP_TARGET);
        let source = at(family, 20, 1);
        let resolved = |net, device| Route::on_link(network(family, net), device, source).resolved([2; 6], [4; 6]);
        env.routes = [1, 2, 20, 30].map(|net| resolved(net, UPLINK)).to_vec();
        env.routes.push(resolved(3, OTHER));
        env.routes.push(Route::on_link(network(family, 4), UPLINK, source));
        let mut world = Self { env, family, proto, scratch: bytemuck::Zeroable::zeroed() };
        for cluster in [CLUSTER, SECOND] {
            let service = world.env.add_service(&[world.endpoint(backend)]);
            world.frontend(cluster, FrontendKind::CLUSTER_IP, service);
        }
        let any = FrontendKey::new(family.any(), Port::new(NODE_PORT.2), proto);
        world.env.frontends.insert(any, Frontend { service: SERVICE, kind: FrontendKind::NODE_PORT });
        world
    }

    /// An endpoint, local if its network is that of local pods.
    pub fn endpoint(&self, (net, host, port): End) -> (Addr, u16, BackendFlags) {
        let flags = if net == 1 { BackendFlags::LOCAL } else { BackendFlags::default() };
        (at(self.family, net, host), port, flags)
    }

    /// Lets clients dial a service here too.
    pub fn frontend(&mut self, (net, host, port): End, kind: FrontendKind, service: ServiceId) {
        let key = FrontendKey::new(at(self.family, net, host), Port::new(port), self.proto);
        self.env.dialled.insert(key.addr.interest());
        self.env.frontends.insert(key, Frontend { service, kind });
    }

    /// Replaces the first Service's endpoints and returns the new one's id.
    pub fn replace_endpoint(&mut self, backend: End) -> BackendId {
        let (addr, port, flags) = self.endpoint(backend);
        let id = self.env.add_backend(addr, port, flags);
        self.env.set_slots(SERVICE, &[id]);
        id
    }

    /// Takes the backend out for good.
    pub fn retire(&mut self, id: u32) {
        self.env.backends[id as usize].generation = Generation(0);
    }

    /// A tuple between two ends.
    pub fn tuple(&self, src: End, dst: End) -> Tuple {
        let end = |(net, host, port): End| (at(self.family, net, host), Port::new(port));
        let ((src, sport), (dst, dport)) = (end(src), end(dst));
        Tuple::new(src, sport, dst, dport, self.proto)
    }

    /// A packet with this tuple arrives.
    pub fn pass(&mut self, place: &Place, tuple: Tuple, flags: u8) -> (Reason, Path) {
        self.pass_with_hop_limit(place, tuple, flags, 64)
    }

    /// A packet with this tuple and hop limit arrives.
    pub fn pass_with_hop_limit(&mut self, place: &Place, tuple: Tuple, flags: u8, hop_limit: u8) -> (Reason, Path) {
        let parsed = Parsed { tuple, family: self.family, tcp: TcpFlags(flags), hop_limit };
        let verdict = decide(&mut self.env, place, &parsed, &mut self.scratch);
        (verdict.reason, verdict.path)
    }

    /// A packet between these ends arrives.
    pub fn send(&mut self, place: &Place, src: End, dst: End, flags: u8) -> (Reason, Path) {
        self.pass(place, self.tuple(src, dst), flags)
    }

    /// The tuple that the last packet got.
    pub const fn to(&self) -> Tuple {
        self.scratch.to
    }

    /// Opens a flow from the client to a frontend at this place, and lets both sides say enough to make it established.
    pub fn establish(&mut self, place: &Place, frontend: End, reply_place: &Place) -> Tuple {
        let client = self.tuple(CLIENT, frontend);
        assert_eq!(self.pass(place, client, SYN).0, Reason::Opened);
        let reply = self.to().reversed();
        assert_eq!(self.pass(reply_place, reply, SYN_ACK).0, Reason::Reply);
        assert_eq!(self.to(), client.reversed());
        assert_eq!(self.pass(place, client, ACK).0, Reason::Forward);
        assert!(self.is_established(frontend));
        assert_eq!(self.held(), 2);
        reply
    }

    /// The table of the flows of this protocol.
    pub const fn table(&self) -> FlowTable {
        Class::of(self.proto).table()
    }

    /// Their spill.
    pub const fn spill(&self) -> FlowTable {
        Class::of(self.proto).spill()
    }

    /// No flow that is not established finds room in its table.
    pub fn fill(&mut self) {
        self.env.rooms.iter_mut().for_each(|room| room.quota = 0);
    }

    /// How many flows are counted as embryonic.
    pub const fn embryonic(&self) -> i64 {
        self.env.rooms[Class::of(self.proto) as usize].embryonic.cast_signed()
    }

    /// Whether the client's flow to a frontend is established.
    pub fn is_established(&self, frontend: End) -> bool {
        self.entry(&self.tuple(CLIENT, frontend)).is_some_and(|flow| flow.flags.has(FlowFlags::ESTABLISHED))
    }

    /// How many entries there are, two for a connection.
    pub fn held(&self) -> usize {
        self.env.flows.len() + 2 * self.env.connections.len()
    }

    /// Which table each flow entry stands in.
    pub fn tables(&self) -> Vec<FlowTable> {
        self.env.flows.keys().map(|(table, _)| *table).collect()
    }

    /// An entry, wherever it stands; of a connection the one that it would have.
    pub fn entry(&self, key: &Tuple) -> Option<Flow> {
        let tables = [self.table(), self.spill()];
        let flow = tables.iter().find_map(|table| self.env.flows.get(&(*table, *key))).copied();
        let mut entries = self.env.connections.iter().flat_map(|(client, held)| held.entries(client));
        flow.or_else(|| entries.find_map(|(held, flow)| (held == *key).then_some(flow)))
    }

    /// Takes an entry out, as an eviction does.
    pub fn evict(&mut self, key: &Tuple) {
        self.env.flows.retain(|(_, held), _| held != key);
    }

    /// How many connections were counted.
    pub fn opened(&self) -> u64 {
        self.env.opened.values().sum()
    }

    /// The world in words, for messages.
    pub fn dump(&self) -> String {
        format!("{:?} {:#?} {:#?}", self.family, self.env.flows, self.env.connections)
    }
}

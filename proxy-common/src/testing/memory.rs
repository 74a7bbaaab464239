//! The body of [`Env`] over plain memory: every table is a field, and so are clock, random numbers and the kernel's answers.

use super::route::{Route, stays_on_link};
use crate::abi::{
    Addr, AddressFlags, Affinity, AffinityKey, Backend, BackendFlags, BackendId, BackendState, Cidr, Config, Connection,
    Descriptor, DeviceFlags, End, Flow, FlowRoom, Frontend, FrontendKey, Generation, INTEREST_FRONTEND, INTEREST_NODE,
    Masquerade, NextHop, PORT_RANGES, PeerKey, PeerValue, PortRange, Proto, RangeSet, SERVICE_CIDRS, ServiceFlags, ServiceId,
    ServiceWord, SlotRange, Source, SourceRange, Tuple,
};
use crate::lb::{Class, Env, FlowTable, InsertError, Step, seeded};
use std::collections::{HashMap, HashSet};

/// Tables and surroundings. Random numbers come from `seed` as they do in a program with that seed.
#[derive(Clone, Debug)]
pub struct Memory {
    /// FRONTENDS.
    pub frontends: HashMap<FrontendKey, Frontend>,
    /// SERVICES.
    pub services: Vec<ServiceWord>,
    /// DESCRIPTORS.
    pub descriptors: Vec<Descriptor>,
    /// SLOTS.
    pub slots: Vec<BackendId>,
    /// BACKENDS.
    pub backends: Vec<Backend>,
    /// BACKEND_STATES.
    pub states: Vec<BackendState>,
    /// SOURCE_RANGES.
    pub ranges: HashSet<SourceRange>,
    /// NODE_ADDRESSES.
    pub addresses: HashMap<Addr, AddressFlags>,
    /// INTEREST, the agent's field: places of addresses, beside those that stand in the tables.
    pub dialled: HashSet<u32>,
    /// INTEREST, the programs' field.
    pub answers: HashSet<u32>,
    /// DEVICES.
    pub devices: HashMap<u32, DeviceFlags>,
    /// CONFIG.
    pub config: Config,
    /// The flow tables.
    pub flows: HashMap<(FlowTable, Tuple), Flow>,
    /// CONNECTIONS.
    pub connections: HashMap<End, Connection>,
    /// How many connections there may be.
    pub places: usize,
    /// How many entries a flow table takes: one of a class, and its spill.
    pub capacity: [usize; 2],
    /// FLOW_ROOM.
    pub rooms: [FlowRoom; 2],
    /// Entries that another CPU makes just before this one makes the same, or a connection of an end in their keys.
    pub races: HashMap<(FlowTable, Tuple), Flow>,
    /// Connections that another CPU makes just before this one makes an entry for the same client's end.
    pub rivals: HashMap<End, Connection>,
    /// Entries of other tables that another CPU makes just before this one makes the entry they are named for.
    pub meanwhile: HashMap<(FlowTable, Tuple), (FlowTable, Flow)>,
    /// UDP_PEERS.
    pub peers: HashMap<PeerKey, PeerValue>,
    /// AFFINITY.
    pub affinity: HashMap<AffinityKey, Affinity>,
    /// The clock.
    pub now: u32,
    /// The seed of the random numbers.
    pub seed: u64,
    /// How many were drawn.
    pub draws: u32,
    /// The cursor of the search for ports.
    pub cursor: u32,
    /// The kernel's routes, the first match first.
    pub routes: Vec<Route>,
    /// How often a route was asked for.
    pub route_queries: u32,
    /// Ports of this node's listening sockets.
    pub sockets: HashSet<(Proto, u16)>,
    /// SERVICE_COUNTERS.
    pub opened: HashMap<ServiceId, u64>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            frontends: HashMap::new(),
            services: Vec::new(),
            descriptors: Vec::new(),
            slots: Vec::new(),
            backends: Vec::new(),
            states: Vec::new(),
            ranges: HashSet::new(),
            addresses: HashMap::new(),
            dialled: HashSet::new(),
            answers: HashSet::new(),
            devices: HashMap::new(),
            config: Config {
                abi: crate::abi::ABI_VERSION,
                epoch: 1,
                netns: 1,
                cluster_cidrs: [Cidr::NONE; 2],
                ports: [PortRange::default(); PORT_RANGES],
                port_count: 0,
                check_sockets: 0,
                icmp_per_second: 100,
                masquerade: Masquerade::default(),
                service_cidr_count: 0,
                service_cidrs: [Cidr::NONE; SERVICE_CIDRS],
                primary: [Addr::ANY_V4, Addr::ANY_V6],
                zero: 0,
            },
            flows: HashMap::new(),
            connections: HashMap::new(),
            places: usize::MAX,
            capacity: [usize::MAX; 2],
            rooms: [FlowRoom { quota: 1 << 20, ..bytemuck::Zeroable::zeroed() }; 2],
            races: HashMap::new(),
            rivals: HashMap::new(),
            meanwhile: HashMap::new(),
            peers: HashMap::new(),
            affinity: HashMap::new(),
            now: 1_000_000,
            seed: 1,
            draws: 0,
            cursor: 0,
            routes: Vec::new(),
            route_queries: 0,
            sockets: HashSet::new(),
            opened: HashMap::new(),
        }
    }
}

impl Memory {
    /// Source ports from these ranges alone: (first, count).
    pub fn set_ports(&mut self, ranges: &[(u16, u16)]) {
        self.config.ports = [PortRange::default(); PORT_RANGES];
        for (range, &(first, count)) in self.config.ports.iter_mut().zip(ranges) {
            *range = PortRange { first, count };
        }
        self.config.port_count = ranges.iter().map(|&(_, count)| u32::from(count)).sum();
    }

    /// A new service with these backends in its slots, all of them serving.
    pub fn add_service(&mut self, backends: &[(Addr, u16, BackendFlags)]) -> ServiceId {
        if self.services.is_empty() {
            self.services.push(ServiceWord::NONE);
            self.backends.push(bytemuck::Zeroable::zeroed());
            self.states.push(BackendState::default());
        }
        let id = ServiceId(self.services.len() as u32);
        self.services.push(ServiceWord::NONE);
        let ids: Vec<BackendId> = backends.iter().map(|&(addr, port, flags)| self.add_backend(addr, port, flags)).collect();
        self.set_slots(id, &ids);
        id
    }

    /// A new backend that serves.
    pub fn add_backend(&mut self, addr: Addr, port: u16, flags: BackendFlags) -> BackendId {
        let id = BackendId(self.backends.len() as u32);
        let backend = Backend { addr, port: crate::abi::Port::new(port), flags, generation: Generation(id.0 + 100) };
        self.backends.push(backend);
        self.states.push(BackendState::SERVING);
        id
    }

    /// Puts a new Cluster set in force for a service of policies Cluster.
    pub fn set_slots(&mut self, service: ServiceId, ids: &[BackendId]) {
        self.set_sets(service, ids, &[], ServiceFlags::ENDPOINTS.when(!ids.is_empty()));
    }

    /// Puts a new Cluster set, Local set and flags in force for a service.
    pub fn set_sets(&mut self, service: ServiceId, cluster: &[BackendId], local: &[BackendId], flags: ServiceFlags) {
        let cluster = self.add_range(cluster, BackendState::IN_CLUSTER);
        let local = self.add_range(local, BackendState::IN_LOCAL);
        self.services[service.0 as usize] = ServiceWord::of(self.descriptors.len() as u32);
        self.descriptors.push(Descriptor { first: cluster.first, room: 0, cluster, local, flags, ..Descriptor::default() });
    }

    /// Lets only clients in these prefixes dial the service's load-balancer addresses, as its descriptor in force says it.
    pub fn set_sources(&mut self, service: ServiceId, prefixes: &[(Addr, u8)]) {
        let set = RangeSet(self.descriptors.len() as u32);
        self.ranges.extend(prefixes.iter().map(|&(addr, bits)| SourceRange::new(set, addr, bits)));
        let held = self.services[service.0 as usize].descriptor().and_then(|index| self.descriptors.get(index as usize));
        let descriptor = Descriptor { sources: set, ..held.copied().unwrap_or_default() };
        self.services[service.0 as usize] = ServiceWord::of(self.descriptors.len() as u32);
        self.descriptors.push(descriptor);
    }

    fn add_range(&mut self, ids: &[BackendId], set: BackendState) -> SlotRange {
        let range = SlotRange { first: self.slots.len() as u32, count: ids.len() as u32 };
        self.slots.extend_from_slice(ids);
        for id in ids {
            let state = &mut self.states[id.0 as usize];
            *state = state.with(set);
        }
        range
    }
}

impl Env for Memory {
    type Entry = (FlowTable, Tuple);

    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        self.frontends.get(key).copied()
    }

    fn service(&self, id: ServiceId) -> ServiceWord {
        self.services.get(id.0 as usize).copied().unwrap_or(ServiceWord::NONE)
    }

    fn descriptor(&self, index: u32) -> Option<Descriptor> {
        self.descriptors.get(index as usize).copied()
    }

    fn slot(&self, index: u32) -> Option<BackendId> {
        self.slots.get(index as usize).copied()
    }

    fn backend(&self, id: BackendId) -> Option<Backend> {
        self.backends.get(id.0 as usize).copied()
    }

    fn backend_state(&self, id: BackendId) -> BackendState {
        self.states.get(id.0 as usize).copied().unwrap_or_default()
    }

    fn allows(&self, source: &Source) -> bool {
        self.ranges.iter().any(|range| range.contains(source))
    }

    fn address(&self, addr: &Addr) -> AddressFlags {
        self.addresses.get(addr).copied().unwrap_or_default()
    }

    fn interest(&self, addr: &Addr) -> u8 {
        let place = addr.interest();
        let frontend = self.frontends.keys().any(|key| key.addr.interest() == place) || self.dialled.contains(&place);
        let node = self.addresses.keys().any(|known| known.interest() == place);
        (u8::from(frontend) * INTEREST_FRONTEND) | (u8::from(node) * INTEREST_NODE)
    }

    fn may_answer(&self, addr: &Addr) -> bool {
        self.answers.contains(&addr.interest())
    }

    fn note_answers(&mut self, addr: &Addr) {
        self.answers.insert(addr.interest());
    }

    fn device(&self, index: u32) -> DeviceFlags {
        self.devices.get(&index).copied().unwrap_or_default()
    }

    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }

    fn may_hold(&self, key: &Tuple) -> bool {
        let mut tables = [FlowTable::Tcp, FlowTable::TcpSpill, FlowTable::Any, FlowTable::AnySpill].into_iter();
        tables.any(|table| self.flows.contains_key(&(table, *key)))
    }

    fn find_flow(&mut self, table: FlowTable, key: &Tuple) -> Option<Self::Entry> {
        self.flows.contains_key(&(table, *key)).then_some((table, *key))
    }

    fn entry(&mut self, entry: Self::Entry) -> &mut Flow {
        self.flows.get_mut(&entry).expect("the entry was found, and none was removed since")
    }

    fn insert_flow(&mut self, table: FlowTable, key: &Tuple, flow: &Flow) -> Result<(), InsertError> {
        self.connections.extend(self.rivals.remove_entry(&key.source()));
        let key = (table, *key);
        if let Some(faster) = self.races.remove(&key) {
            self.flows.insert(key, faster);
        }
        if let Some((table, faster)) = self.meanwhile.remove(&key) {
            self.flows.insert((table, key.1), faster);
        }
        if self.flows.contains_key(&key) {
            return Err(InsertError::Exists);
        }
        let held = self.flows.keys().filter(|(held, _)| *held == key.0).count();
        if held >= self.capacity[usize::from(key.0.is_spill())] {
            return Err(InsertError::Full);
        }
        self.flows.insert(key, *flow);
        Ok(())
    }

    fn remove_flow(&mut self, table: FlowTable, key: &Tuple) {
        self.flows.remove(&(table, *key));
    }

    fn connection(&mut self, client: &End) -> Option<&mut Connection> {
        self.connections.get_mut(client)
    }

    fn insert_connection(&mut self, client: &End, connection: &Connection) -> Result<(), InsertError> {
        let of_client = |key: &Tuple| [key.source(), key.destination()].contains(client);
        self.flows.extend(self.races.extract_if(|(_, key), _| of_client(key)));
        self.connections.extend(self.rivals.remove_entry(client));
        if self.connections.contains_key(client) {
            return Err(InsertError::Exists);
        }
        if self.connections.len() >= self.places {
            return Err(InsertError::Full);
        }
        self.connections.insert(*client, *connection);
        Ok(())
    }

    fn remove_connection(&mut self, client: &End) {
        self.connections.remove(client);
    }

    fn room(&self, class: Class) -> Option<&FlowRoom> {
        self.rooms.get(class as usize)
    }

    fn count_embryonic(&mut self, class: Class, by: i64) {
        let count = &mut self.rooms[class as usize].embryonic;
        *count = count.wrapping_add_signed(by);
    }

    fn note_spill(&mut self, class: Class, now: u32) {
        self.rooms[class as usize].spilled = now.max(1);
    }

    fn peer(&self, key: &PeerKey) -> Option<PeerValue> {
        self.peers.get(key).copied()
    }

    fn set_peer(&mut self, key: &PeerKey, value: &PeerValue) {
        self.peers.insert(*key, *value);
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.affinity.get(key).copied()
    }

    fn set_affinity(&mut self, key: &AffinityKey, value: &Affinity) {
        self.affinity.insert(*key, *value);
    }

    fn now(&self) -> u32 {
        self.now
    }

    fn random(&mut self) -> u32 {
        self.draws = self.draws.wrapping_add(1);
        seeded(self.seed, self.draws)
    }

    fn next_cursor(&mut self) -> u32 {
        self.cursor = self.cursor.wrapping_add(1);
        self.cursor
    }

    fn route(&mut self, (src, dst): (&Addr, &Addr), _device: u32, hop: &mut NextHop) -> Option<Addr> {
        self.route_queries += 1;
        if stays_on_link(src) || stays_on_link(dst) {
            return None;
        }
        let (answer, source) = self.routes.iter().find(|route| route.to.contains(dst))?.answer(dst, self.config.epoch)?;
        *hop = answer;
        Some(source)
    }

    fn has_socket(&mut self, tuple: &Tuple) -> bool {
        self.sockets.contains(&(tuple.proto, tuple.sport.number()))
    }

    fn count_connection(&mut self, service: ServiceId) {
        *self.opened.entry(service).or_default() += 1;
    }

    fn repeat<S: Step>(&mut self, times: u32, step: &mut S) {
        for turn in 0..times {
            if step.step(self, turn) {
                return;
            }
        }
    }
}

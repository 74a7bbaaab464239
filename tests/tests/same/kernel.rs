//! The decisions as the kernel runs them: the object loaded by the agent's own code, packets put in by BPF_PROG_TEST_RUN.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use aya::maps::{Array, HashMap as Map, MapData, PerCpuArray};
use aya::programs::{Program as Loaded, TestRun, TestRunOptions, TestRunResult};
use nix::time::{ClockId, clock_gettime};
use proxy_agent::attach::bpffs;
use proxy_agent::maps::{Capacity, KernelFlows, KernelMaps, LoadOptions, NodeMaps, Reader, load};
use proxy_common::abi::{
    Affinity, AffinityKey, Connection, End, FLOW_FILTER_ASKED, FLOW_FILTER_LEN, Flow, FlowRoom, Hook, ProgramState, Reason,
    Tuple,
};
use proxy_common::lb::{Class, FlowTable};

use super::complete;
use super::native::{Outcome, Program};

type Flows = Map<MapData, [u8; size_of::<Tuple>()], [u8; size_of::<Flow>()]>;
type Connections = Map<MapData, [u8; size_of::<End>()], [u8; size_of::<Connection>()]>;
type Clients = Map<MapData, [u8; size_of::<AffinityKey>()], [u8; size_of::<Affinity>()]>;

/// The loaded programs and the tables that they write.
pub struct Kernel {
    object: Ebpf,
    pins: PathBuf,
    flows: HashMap<FlowTable, Flows>,
    connections: Connections,
    filter: Array<MapData, [u64; FLOW_FILTER_LEN]>,
    rooms: Array<MapData, [u64; size_of::<FlowRoom>() / 8]>,
    clients: Clients,
    states: PerCpuArray<MapData, [u32; size_of::<ProgramState>() / 4]>,
    out: Vec<u8>,
    checksums: Checksums,
}

/// What the sum over a packet at tc is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksums {
    /// There is none.
    None,
    /// There is one, and the helper knows BPF_F_IPV6.
    Complete,
    /// There is one, and the helper is used as it must be before Linux 6.16.
    CompleteWithoutFlag,
}

/// A run of a program, and the clock as it was before and after.
pub struct Ran {
    /// What became of the packet.
    pub outcome: Outcome,
    /// The clock before and after.
    pub between: (u32, u32),
}

/// The tables of flows and their maps.
const TABLES: [(FlowTable, &str); 4] = [
    (FlowTable::Tcp, "FLOWS"),
    (FlowTable::TcpSpill, "FLOWS_SPILL"),
    (FlowTable::Any, "FLOWS_ANY"),
    (FlowTable::AnySpill, "FLOWS_ANY_SPILL"),
];

/// Places for connections: so few that many find none.
pub const PLACES: u32 = 16;

const CAPACITY: Capacity = Capacity {
    services: 64,
    frontends: 256,
    backends: 4096,
    slots: 1 << 18,
    descriptors: 256,
    source_ranges: 256,
    connections: PLACES,
    flows: 1 << 17,
    flows_spill: 1 << 17,
    flows_any: 1 << 17,
    flows_any_spill: 1 << 17,
    udp_peers: 1 << 14,
};

impl Kernel {
    /// Loads the object with this seed and pins its tables below `pins`. With `checksums`, packets at tc come with a complete one.
    pub fn load(pins: &Path, seed: u64, checksums: Checksums) -> Result<(Self, KernelMaps)> {
        let path = env!("SLUICE_EBPF_OBJECT");
        let bytes = fs::read(path).with_context(|| format!("read {path}: run `cargo xtask build` first"))?;
        let checksum_ipv6 = checksums != Checksums::CompleteWithoutFlag;
        bpffs::prepare(pins)?;
        let options = LoadOptions { bpffs: pins, capacity: CAPACITY, checksum_ipv6, seed: Some(seed) };
        let (tables, mut object) = load(&bytes, &options)?;
        for (name, program) in object.programs_mut() {
            match program {
                Loaded::SchedClassifier(program) => program.load(),
                Loaded::Xdp(program) => program.load(),
                _ => continue,
            }
            .with_context(|| format!("load {name}"))?;
        }
        let mut flows = HashMap::new();
        for (table, name) in TABLES {
            let map = object.take_map(name).with_context(|| format!("no map {name}"))?;
            flows.insert(table, Map::try_from(map)?);
        }
        let connections = Map::try_from(object.take_map("CONNECTIONS").context("no map CONNECTIONS")?)?;
        let filter = Array::try_from(object.take_map("FLOW_FILTER").context("no map FLOW_FILTER")?)?;
        let rooms = Array::try_from(object.take_map("FLOW_ROOM").context("no map FLOW_ROOM")?)?;
        let clients = Map::try_from(object.take_map("AFFINITY").context("no map AFFINITY")?)?;
        let states = PerCpuArray::try_from(object.take_map("PROGRAM_STATE").context("no map PROGRAM_STATE")?)?;
        let (pins, out) = (pins.to_owned(), vec![0; 1024]);
        Ok((Self { object, pins, flows, connections, filter, rooms, clients, states, out, checksums }, tables))
    }

    /// The tables of the node.
    pub fn node_maps(&self) -> Result<NodeMaps> {
        Ok(NodeMaps::open(&self.pins)?)
    }

    /// The flow tables as the agent has them.
    pub fn agents_flows(&self) -> Result<KernelFlows> {
        Ok(KernelFlows::open(&self.pins)?)
    }

    /// Runs a program on a frame that arrived from device `received` at device `device`.
    pub fn run(&mut self, program: Program, device: u32, received: u32, frame: &[u8]) -> Result<Ran> {
        let loaded = self.object.program(program.name()).with_context(|| format!("no program {}", program.name()))?;
        let skb = skb_context(device, received);
        let xdp = xdp_context(device, frame.len());
        if let Loaded::SchedClassifier(program) = loaded
            && self.checksums != Checksums::None
        {
            let before = now()?;
            let (action, length) = complete::run(program.fd()?.as_fd(), &skb, frame, &mut self.out)?;
            let bytes = self.out[..length].to_vec();
            return Ok(Ran { outcome: Outcome { action, bytes }, between: (before, now()?) });
        }
        let mut options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut self.out), ..TestRunOptions::new() };
        let before = now()?;
        let result = match loaded {
            Loaded::SchedClassifier(program) => {
                options.ctx_in = Some(&skb);
                program.test_run(options)
            }
            Loaded::Xdp(program) => {
                options.ctx_in = Some(&xdp);
                program.test_run(options)
            }
            _ => bail!("{} is no packet program", program.name()),
        };
        let after = now()?;
        let TestRunResult { return_value, data_size_out, .. } = result?;
        let bytes = self.out[..data_size_out as usize].to_vec();
        Ok(Ran { outcome: Outcome { action: return_value, bytes }, between: (before, after) })
    }

    /// The program's clock, where it moved on during the run: what it wrote into the packet's flow.
    pub fn clock_of(&self, ran: &Ran, key: Option<&Tuple>) -> Result<u32> {
        let (before, after) = ran.between;
        let Some(key) = key.filter(|_| before != after) else { return Ok(after) };
        let is_of_run = |seen: &u32| seen.wrapping_sub(before) <= after.wrapping_sub(before);
        let client = self.connection(&key.source())?.map(|held| held.client.seen);
        let reply = self.connection(&key.destination())?.map(|held| held.reply.seen);
        if let Some(seen) = client.into_iter().chain(reply).find(is_of_run) {
            return Ok(seen);
        }
        let class = Class::of(key.proto);
        for table in [class.table(), class.spill()] {
            if let Some(flow) = self.flow(table, key)?
                && is_of_run(&flow.seen)
            {
                return Ok(flow.seen);
            }
        }
        Ok(after)
    }

    fn flow(&self, table: FlowTable, key: &Tuple) -> Result<Option<Flow>> {
        match self.flows[&table].get(&bytemuck::cast(*key), 0) {
            Ok(bytes) => Ok(Some(bytemuck::cast(bytes))),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn connection(&self, client: &End) -> Result<Option<Connection>> {
        match self.connections.get(&bytemuck::cast(*client), 0) {
            Ok(bytes) => Ok(Some(bytemuck::cast(bytes))),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a connection out, as the agent does.
    pub fn end(&mut self, client: &End) -> Result<()> {
        Ok(self.connections.remove(&bytemuck::cast(*client))?)
    }

    /// All connections.
    pub fn all_connections(&self) -> Result<HashMap<End, Connection>> {
        let cast =
            |entry: Result<(_, _), aya::maps::MapError>| entry.map(|(key, value)| (bytemuck::cast(key), bytemuck::cast(value)));
        Ok(self.connections.iter().map(cast).collect::<Result<_, _>>()?)
    }

    /// The bits of FLOW_FILTER's half that is asked.
    pub fn filter(&self) -> Result<Vec<u32>> {
        let words = self.filter.get(&0, 0)?;
        let low = u64::from(u32::BITS) * words[FLOW_FILTER_ASKED];
        Ok(words[..FLOW_FILTER_ASKED].iter().map(|word| (word >> low) as u32).collect())
    }

    /// How many embryonic flows the tables take from here on.
    pub fn set_quota(&mut self, rooms: [FlowRoom; 2]) -> Result<()> {
        for (index, (room, held)) in (0..).zip(rooms.into_iter().zip(self.rooms()?)) {
            let words: [u64; size_of::<FlowRoom>() / 8] = bytemuck::cast(FlowRoom { quota: room.quota, ..held });
            self.rooms.set(index, words, 0)?;
        }
        Ok(())
    }

    /// FLOW_ROOM.
    pub fn rooms(&self) -> Result<[FlowRoom; 2]> {
        let room = |index: u32| -> Result<FlowRoom> { Ok(bytemuck::cast(self.rooms.get(&index, 0)?)) };
        Ok([room(0)?, room(1)?])
    }

    /// Takes an entry out, as an eviction does.
    pub fn evict(&mut self, table: FlowTable, key: &Tuple) -> Result<()> {
        Ok(self.flows.get_mut(&table).context("a flow table")?.remove(&bytemuck::cast(*key))?)
    }

    /// All flow entries.
    pub fn all_flows(&self) -> Result<HashMap<(FlowTable, Tuple), Flow>> {
        let mut all = HashMap::new();
        for (table, map) in &self.flows {
            for entry in map.iter() {
                let (key, value) = entry?;
                all.insert((*table, bytemuck::cast(key)), bytemuck::cast(value));
            }
        }
        Ok(all)
    }

    /// PROGRAM_STATE of the CPU that all packets are run on: no other has counted anything.
    pub fn state(&self) -> Result<ProgramState> {
        let mut sum = ProgramState::default();
        for state in self.states.get(&0, 0)?.iter() {
            let state: ProgramState = bytemuck::cast(*state);
            (sum.cursor, sum.draws) = (sum.cursor + state.cursor, sum.draws + state.draws);
        }
        Ok(sum)
    }

    /// AFFINITY.
    pub fn affinity(&self) -> Result<HashMap<AffinityKey, Affinity>> {
        let cast =
            |entry: Result<(_, _), aya::maps::MapError>| entry.map(|(key, value)| (bytemuck::cast(key), bytemuck::cast(value)));
        Ok(self.clients.iter().map(cast).collect::<Result<_, _>>()?)
    }

    /// Every counter that has moved: packets and bytes.
    pub fn counters(&self) -> Result<HashMap<(Hook, Reason), (u64, u64)>> {
        let counters = Reader::open(&self.pins)?.counters()?;
        let moved = counters.into_iter().filter(|(_, _, counter)| counter.packets > 0);
        Ok(moved.map(|(hook, reason, counter)| ((hook, reason), (counter.packets, counter.bytes))).collect())
    }
}

/// The clock of the tables.
fn now() -> Result<u32> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)?;
    Ok((time.tv_sec() as u64 * 1_000 + time.tv_nsec() as u64 / 1_000_000) as u32)
}

/// The start of a `struct __sk_buff`.
fn skb_context(device: u32, received: u32) -> [u8; 48] {
    let mut words = [0_u32; 12];
    words[9] = received;
    words[10] = device;
    bytemuck::cast(words)
}

/// A `struct xdp_md`.
fn xdp_context(device: u32, length: usize) -> [u8; 24] {
    bytemuck::cast([0, length as u32, 0, device, 0, 0])
}

//! One run: packets, table changes and evictions, each through both bodies. Equal must be what a program returns, every byte of
//! the packet, and in the end every flow entry and every counter.

use std::collections::{HashMap, HashSet};
use std::net::{TcpListener, UdpSocket};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use proxy_agent::maps::{KernelFlows, NodeMaps};
use proxy_agent::sync::Renewal;
use proxy_common::abi::{
    Cidr, DeviceFlags, FLOW_FILTER_ASKED, FlowFlags, Hook, Masquerade, ProgramState, Proto, Reason, SERVICE_CIDRS,
};
use proxy_common::lb::{Class, FlowTable};
use proxy_common::testing::Memory;
use sluice_tests::{Family, Rig};

use super::dice::Dice;
use super::frames::{Arrival, Talk};
use super::kernel::{Checksums, Kernel, PLACES};
use super::native::{self, Insight, Program};
use super::node::{Node, at};
use super::tables::Tables;

/// Packets at each hook.
const PACKETS: u64 = 100_000;
/// Packets at each hook of which the sums are checked.
const COMPLETE: u64 = 3_000;
/// The hooks that must see so many.
const HOOKS: [Program; 4] = [Program::EdgeIngress, Program::EdgeEgress, Program::UplinkXdp, Program::PodIngress];
const PACKETS_PER_CHANGE: usize = 300;
/// How often the settings change while one hook gets its packets: a short run must meet all of them, too.
const SETTINGS: u64 = 30;
const PACKETS_PER_EVICTION: usize = 40;
const PACKETS_PER_RENEWAL: usize = 500;
/// So many that no test reaches the limit.
const ICMP_PER_SECOND: u32 = 4_000_000;
/// Ports of this node's own sockets; some of them lie in the ranges for translated sources.
const SOCKETS: [u16; 3] = [50_001, 50_002, 50_005];
/// Networks whose addresses are all of ServiceCIDRs: none, that of the ClusterIPs, one beside it, and that of the uplink's wire, in
/// which this node's own addresses are.
const CIDRS: [&[u8]; 4] = [&[], &[96], &[97, 96], &[20, 96]];
/// What may be masqueraded beyond need.
const MASQUERADES: [Masquerade; 4] =
    [Masquerade(0), Masquerade::ALL, Masquerade::EXTERNAL, Masquerade::ALL.with(Masquerade::EXTERNAL)];
/// How far apart two readings of one time may be in milliseconds: two ticks of a slow clock.
const TICKS: u32 = 20;
const TABLES: [FlowTable; 4] = [FlowTable::Tcp, FlowTable::TcpSpill, FlowTable::Any, FlowTable::AnySpill];

/// Both bodies and what they share.
struct Run {
    kernel: Kernel,
    native: Memory,
    tables: Tables,
    node: NodeMaps,
    flows: KernelFlows,
    renewal: Renewal,
    /// Whether CONNECTIONS was full at some time.
    crowded: bool,
    talk: Talk,
    family: Family,
    dice: Dice,
    devices: HashMap<u32, DeviceFlags>,
    counters: HashMap<(Hook, Reason), (u64, u64)>,
    packets: HashMap<Program, u64>,
    met: HashSet<(Program, Reason)>,
    /// Packets that each hook must see.
    goal: u64,
    checksums: Checksums,
}

/// Runs packets of a family through both bodies.
pub fn run(test: &str, family: Family, seed: u64) -> Result<()> {
    with_checksums(test, family, seed, Checksums::None)
}

/// The same with few packets, which come to tc with a sum over all of them; refusals left out, since those are packets of our own.
pub fn with_checksums(test: &str, family: Family, seed: u64, checksums: Checksums) -> Result<()> {
    let rig = Rig::new(test)?;
    let node = Node::build(&rig)?;
    let pins = rig.pins("node");
    node.netns.enter(|| -> Result<()> {
        pin_to_this_cpu()?;
        let _sockets = listen()?;
        let mut run = Run::start(&node, &pins, family, seed, checksums)?;
        let mut turn = 0;
        while HOOKS.iter().any(|hook| run.packets.get(hook).is_none_or(|&count| count < run.goal)) {
            run.turn(turn).with_context(|| format!("seed {seed}, packet {turn}"))?;
            turn += 1;
        }
        run.finish()
    })?
}

impl Run {
    fn start(node: &Node, pins: &std::path::Path, family: Family, seed: u64, checksums: Checksums) -> Result<Self> {
        let (kernel, maps) = Kernel::load(pins, seed, checksums)?;
        let mut dice = Dice::new(seed);
        let tables = Tables::new(maps, family, &mut dice)?;
        let mut node_maps = kernel.node_maps()?;
        let mut native = Memory { seed, routes: node.routes.clone(), ..Memory::default() };
        native.addresses = node.addresses.clone();
        native.devices = node.flags.clone();
        native.sockets = SOCKETS.into_iter().flat_map(|port| [(Proto::TCP, port), (Proto::UDP, port)]).collect();
        node_maps.set_addresses(&native.addresses)?;
        node_maps.set_devices(&native.devices)?;
        let (counters, packets, met) = (HashMap::new(), HashMap::new(), HashSet::new());
        let goal = if checksums == Checksums::None { PACKETS } else { COMPLETE };
        let talk = Talk::new(family, node.devices);
        native.places = PLACES as usize;
        let (devices, node, flows) = (node.flags.clone(), node_maps, kernel.agents_flows()?);
        let mut run = Self {
            kernel,
            native,
            tables,
            node,
            flows,
            renewal: Renewal::default(),
            crowded: false,
            talk,
            family,
            dice,
            devices,
            counters,
            packets,
            met,
            goal,
            checksums,
        };
        run.change_settings()?;
        run.tables.copy_to(&mut run.native)?;
        Ok(run)
    }

    fn turn(&mut self, turn: usize) -> Result<()> {
        if turn.is_multiple_of(PACKETS_PER_CHANGE) {
            self.tables.change(&mut self.dice)?;
            self.tables.copy_to(&mut self.native)?;
        }
        if turn.is_multiple_of((self.goal / SETTINGS) as usize) {
            self.change_settings()?;
        }
        if turn.is_multiple_of(PACKETS_PER_EVICTION) {
            self.evict()?;
        }
        if turn.is_multiple_of(PACKETS_PER_RENEWAL) {
            // Programs must find every flow before, between and after.
            self.renewal.step(&self.flows)?;
        }
        let arrival = self.talk.next(self.tables.services(), &mut self.dice);
        self.pass(&arrival).with_context(|| format!("{arrival:x?}"))
    }

    fn pass(&mut self, arrival: &Arrival) -> Result<()> {
        let Arrival { program, device, received, frame } = arrival;
        if self.checksums != Checksums::None && self.is_refused(arrival) {
            return Ok(());
        }
        let ran = self.kernel.run(*program, *device, *received, frame)?;
        self.native.now = self.kernel.clock_of(&ran, native::key(frame).as_ref())?;
        let place = program.place(*device, *received);
        let (outcome, insight) = native::run(&mut self.native, *program, &place, frame);
        ensure!(
            outcome == ran.outcome,
            "native {:?}, {} {:02x?}\nloaded {} {:02x?}",
            insight.reason,
            outcome.action,
            outcome.bytes,
            ran.outcome.action,
            ran.outcome.bytes
        );
        let state = ProgramState { cursor: self.native.cursor, draws: self.native.draws };
        let loaded = self.kernel.state()?;
        // A choice that differs is often seen only many packets later.
        ensure!(state == loaded, "native {:?}, {state:?}; loaded {loaded:?}", insight.reason);
        let (packets, bytes) = self.counters.entry((place.hook, insight.reason)).or_default();
        (*packets, *bytes) = (*packets + 1, *bytes + frame.len() as u64);
        *self.packets.entry(*program).or_default() += 1;
        self.met.insert((*program, insight.reason));
        self.crowded |= self.native.connections.len() == self.native.places;
        self.learn(&insight);
        Ok(())
    }

    fn is_refused(&self, arrival: &Arrival) -> bool {
        let place = arrival.program.place(arrival.device, arrival.received);
        let (_, insight) = native::run(&mut self.native.clone(), arrival.program, &place, &arrival.frame);
        matches!(insight.reason, Reason::NoEndpoint | Reason::UnknownPort | Reason::LocalUnreachable)
    }

    fn learn(&mut self, insight: &Insight) {
        if !matches!(insight.reason, Reason::Opened | Reason::PortExchanged) {
            return;
        }
        let Some(parsed) = insight.parsed else { return };
        let class = Class::of(parsed.tuple.proto);
        let entry = |table| self.native.flows.get(&(table, parsed.tuple));
        let flow = entry(class.table()).or_else(|| entry(class.spill()));
        let connection = self.native.connections.get(&parsed.tuple.source()).filter(|_| class == Class::Tcp);
        if let Some(flags) = flow.map(|flow| flow.flags).or(connection.map(|_| FlowFlags::FORWARD)) {
            self.talk.learn(parsed.tuple, insight.scratch.to.reversed(), flags);
        }
    }

    /// Takes an entry out of both bodies' tables.
    fn evict(&mut self) -> Result<()> {
        let Some(tuple) = self.talk.any_tuple(&mut self.dice) else { return Ok(()) };
        let client = tuple.source();
        if self.native.connections.remove(&client).is_some() {
            self.kernel.end(&client).context("a connection that only the native body has")?;
        }
        for table in TABLES {
            if self.native.flows.remove(&(table, tuple)).is_some() {
                self.kernel.evict(table, &tuple).context("an entry that only the native body has")?;
            }
        }
        Ok(())
    }

    /// Other ports, another detector, other masquerade and ServiceCIDRs, another epoch, other room for flows.
    fn change_settings(&mut self) -> Result<()> {
        self.change_devices()?;
        let dice = &mut self.dice;
        let ranges: &[(u16, u16)] = dice.pick(&[
            &[(50_000, 12)][..],
            &[(50_000, 12)],
            &[(1_024, 20_000), (40_000, 5_000), (61_000, 1)],
            &[(50_000, 1), (50_005, 1), (50_011, 2)],
        ]);
        self.native.set_ports(ranges);
        let bits = if self.family == Family::V4 { 112 } else { 48 };
        let network = |net| Cidr::new(at(self.family, net, 0).into(), bits);
        self.native.config.cluster_cidrs = if dice.chance(60) { [network(1); 2] } else { [Cidr::NONE; 2] };
        let by_device = if dice.chance(30) { Masquerade::BY_DEVICE } else { Masquerade::default() };
        self.native.config.masquerade = dice.pick(&MASQUERADES).with(by_device);
        let cidrs = dice.pick(&CIDRS);
        self.native.config.service_cidrs = [Cidr::NONE; SERVICE_CIDRS];
        self.native.config.service_cidrs.iter_mut().zip(cidrs).for_each(|(cidr, &net)| *cidr = network(net));
        self.native.config.service_cidr_count = cidrs.len() as u32;
        self.native.config.check_sockets = u32::from(dice.chance(50));
        self.native.config.icmp_per_second = ICMP_PER_SECOND;
        self.native.config.epoch += 1;
        self.node.set_config(self.native.config);
        for room in &mut self.native.rooms {
            room.quota = dice.pick(&[0, 40, 400, 1 << 16]);
        }
        self.kernel.set_quota(self.native.rooms)
    }

    /// Other devices by which local pods' packets come in.
    fn change_devices(&mut self) -> Result<()> {
        self.native.devices = self.devices.clone();
        for device in self.talk.devices() {
            if self.dice.chance(40) {
                let flags = self.native.devices.entry(device).or_default();
                *flags = flags.with(DeviceFlags::LOCAL_PODS);
            }
        }
        Ok(self.node.set_devices(&self.native.devices)?)
    }

    /// Renewed while no packet comes, the filter has the bits of the keys that are there, and no other.
    fn filter_is_exact(&mut self) -> Result<()> {
        for _ in 0..6 {
            self.renewal.step(&self.flows)?;
        }
        let mut wanted = vec![0_u32; FLOW_FILTER_ASKED];
        for (_, key) in self.native.flows.keys() {
            let place = key.filter_place();
            wanted[place.index] |= place.in_half(0) as u32;
        }
        ensure!(self.kernel.filter()? == wanted, "the filter holds other keys than the flow tables");
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        ensure!(self.counters == self.kernel.counters()?, "counters: {:?}, {:?}", self.counters, self.kernel.counters()?);
        let flows = self.kernel.all_flows()?;
        for (key, flow) in &self.native.flows {
            ensure!(flows.get(key) == Some(flow), "{key:?}: native {flow:?}, loaded {:?}", flows.get(key));
        }
        for (native, loaded) in self.native.rooms.iter().zip(self.kernel.rooms()?) {
            ensure!(native.spills() && loaded.spills(), "no flow went to the spill: {native:?}, {loaded:?}");
            ensure!(native.embryonic == loaded.embryonic, "embryonic flows: native {native:?}, loaded {loaded:?}");
        }
        ensure!(flows.len() == self.native.flows.len(), "{} flow entries, {}", flows.len(), self.native.flows.len());
        let connections = self.kernel.all_connections()?;
        for (client, native) in &self.native.connections {
            ensure!(
                connections.get(client) == Some(native),
                "{client:?}: native {native:?}, loaded {:?}",
                connections.get(client)
            );
        }
        ensure!(connections.len() == self.native.connections.len(), "{} connections", connections.len());
        self.filter_is_exact()?;
        self.same_affinity()?;
        let mut counters: Vec<_> = self.counters.iter().collect();
        counters.sort_unstable();
        let (flows, connections) = (flows.len(), connections.len());
        println!("{:?}: {:?}, {flows} flow entries, {connections} connections", self.family, self.packets);
        counters.iter().for_each(|((hook, reason), (packets, _))| println!("{} {}: {packets}", hook.label(), reason.label()));
        if self.checksums == Checksums::None { self.has_met_everything() } else { Ok(()) }
    }

    /// Whoever keeps a backend keeps the same one, from the same time on.
    fn same_affinity(&self) -> Result<()> {
        let loaded = self.kernel.affinity()?;
        for (key, native) in &self.native.affinity {
            let held = loaded.get(key).with_context(|| format!("{key:?}: the loaded body keeps nothing"))?;
            let apart = native.since.wrapping_sub(held.since).min(held.since.wrapping_sub(native.since));
            let alike = (native.backend, native.generation) == (held.backend, held.generation);
            ensure!(alike && apart <= TICKS, "{key:?}: native {native:?}, loaded {held:?}");
        }
        ensure!(loaded.len() == self.native.affinity.len(), "{} clients, {}", loaded.len(), self.native.affinity.len());
        ensure!(!loaded.is_empty(), "no client kept its backend");
        Ok(())
    }

    /// A run that never met a reason has not compared it.
    fn has_met_everything(&self) -> Result<()> {
        const EVERYWHERE: [Reason; 3] = [Reason::Untouched, Reason::Fragment, Reason::Unparsed];
        const WHERE_FLOWS_BEGIN: [Reason; 3] = [Reason::MidFlow, Reason::Opened, Reason::Forward];
        const AT_TC: [Reason; 3] = [Reason::NoRoute, Reason::HopLimit, Reason::Reply];
        const REFUSED: [Reason; 5] =
            [Reason::NoEndpoint, Reason::NoLocalEndpoint, Reason::SourceRange, Reason::UnknownPort, Reason::Unallocated];
        let wanted = HOOKS.into_iter().flat_map(|program| {
            let more: &[&[Reason]] = match program {
                Program::UplinkXdp => &[&WHERE_FLOWS_BEGIN, &[Reason::Deferred, Reason::Reply, Reason::PortExchanged]],
                Program::EdgeIngress => {
                    &[&WHERE_FLOWS_BEGIN, &AT_TC, &REFUSED, &[Reason::PortExchanged, Reason::PortsExhausted]]
                }
                Program::EdgeEgress => &[&WHERE_FLOWS_BEGIN, &AT_TC, &REFUSED, &[Reason::LocalUnreachable]],
                Program::PodIngress => &[&AT_TC],
            };
            [&[&EVERYWHERE[..]], more].concat().concat().into_iter().map(move |reason| (program, reason))
        });
        let missing: Vec<_> = wanted.filter(|key| !self.met.contains(key)).collect();
        ensure!(missing.is_empty(), "never met: {missing:?}");
        ensure!(self.crowded, "connections always found a place");
        Ok(())
    }
}

/// Random numbers and cursors are per CPU.
fn pin_to_this_cpu() -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(nix::sched::sched_getcpu()?)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
}

fn listen() -> Result<Vec<(TcpListener, UdpSocket)>> {
    SOCKETS.into_iter().map(|port| Ok((TcpListener::bind(("::", port))?, UdpSocket::bind(("::", port))?))).collect()
}

//! What arrives where: clients that dial, conversations that go on, replies, strangers, and frames that no stack would send.

use std::net::{IpAddr, SocketAddr};

use proxy_common::abi::{FlowFlags, Proto, Tuple};
use proxy_common::testing::Frame;
use sluice_tests::Family;

use super::dice::Dice;
use super::flags::{FROM_CLIENTS, FROM_SERVERS};
use super::native::{Program, SHORTEST};
use super::node::at;
use super::tables::Service;

/// A frame at a hook.
#[derive(Debug)]
pub struct Arrival {
    /// The program.
    pub program: Program,
    /// Index of the device.
    pub device: u32,
    /// Index of the device that it was received from; 0 = made on this node.
    pub received: u32,
    /// The bytes.
    pub frame: Vec<u8>,
}

/// A flow that was opened: the client's tuple and the reply's.
#[derive(Clone, Copy)]
struct Known {
    client: Tuple,
    reply: Tuple,
}

/// The conversations so far.
pub struct Talk {
    family: Family,
    devices: [u32; 4],
    plain: Vec<Known>,
    masqueraded: Vec<Known>,
    from_node: Vec<Known>,
}

const REMEMBERED: usize = 4096;
const RECENT: usize = 48;
const CLIENT_PORTS: u16 = 24;

impl Talk {
    /// Nobody has said anything.
    pub const fn new(family: Family, devices: [u32; 4]) -> Self {
        Self { family, devices, plain: Vec::new(), masqueraded: Vec::new(), from_node: Vec::new() }
    }

    /// Remembers a flow that was opened with these flags.
    pub fn learn(&mut self, client: Tuple, reply: Tuple, flags: FlowFlags) {
        let list = if flags.has(FlowFlags::FROM_NODE) {
            &mut self.from_node
        } else if flags.has(FlowFlags::MASQUERADE) {
            &mut self.masqueraded
        } else {
            &mut self.plain
        };
        if list.len() >= REMEMBERED {
            list.drain(..REMEMBERED / 2);
        }
        list.push(Known { client, reply });
    }

    /// A tuple of some flow.
    pub fn any_tuple(&self, dice: &mut Dice) -> Option<Tuple> {
        let list = dice.pick(&[&self.plain, &self.masqueraded, &self.from_node]);
        let known = recent(list, dice)?;
        Some(if dice.chance(50) { known.client } else { known.reply })
    }

    /// Where frames arrive.
    pub const fn devices(&self) -> [u32; 4] {
        self.devices
    }

    /// The next frame.
    pub fn next(&mut self, services: &[Service], dice: &mut Dice) -> Arrival {
        let program = match dice.below(100) {
            0..=24 => Program::EdgeIngress,
            25..=49 => Program::EdgeEgress,
            50..=74 => Program::UplinkXdp,
            _ => Program::PodIngress,
        };
        let mut frame = self.frame(program, services, dice);
        frame.hop_limit = if dice.chance(96) { 64 } else { dice.below(3) as u8 };
        frame.checksum = frame.tcp.is_some() || self.family == Family::V6 || dice.chance(80);
        let length = dice.below(64);
        frame.payload = (0..length).map(|_| dice.below(256) as u8).collect();
        let mut bytes = frame.bytes();
        if dice.chance(12) {
            spoil(&mut bytes, self.family, dice);
        }
        let program = if is_whole(&bytes) { program } else { Program::UplinkXdp };
        let (device, received) = self.way(program, dice);
        Arrival { program, device, received, frame: bytes }
    }

    fn way(&self, program: Program, dice: &mut Dice) -> (u32, u32) {
        let [up0, up1, up2, pod0] = self.devices;
        match program {
            Program::EdgeIngress | Program::UplinkXdp => {
                let device = dice.pick(&[up0, up0, up0, up0, up1, up2]);
                (device, device)
            }
            Program::EdgeEgress => (dice.pick(&[up0, up0, up0, up1]), dice.pick(&[0, 0, pod0])),
            Program::PodIngress => (pod0, pod0),
        }
    }

    fn frame(&self, program: Program, services: &[Service], dice: &mut Dice) -> Frame {
        let kind = dice.below(100);
        let known = match (program, kind) {
            (Program::EdgeEgress, 0..=19) => recent(&self.from_node, dice).map(|known| (known.client, true)),
            (Program::EdgeEgress, 20..=59) => recent(&self.plain, dice).map(|known| (known.reply, false)),
            (Program::PodIngress, 0..=79) => recent(&self.masqueraded, dice).map(|known| (known.reply, false)),
            (Program::EdgeIngress | Program::UplinkXdp, 0..=12) => recent(&self.plain, dice).map(|known| (known.client, true)),
            (Program::EdgeIngress | Program::UplinkXdp, 13..=27) => {
                recent(&self.masqueraded, dice).map(|known| (known.client, true))
            }
            (Program::EdgeIngress | Program::UplinkXdp, 28..=43) => {
                recent(&self.masqueraded, dice).map(|known| (known.reply, false))
            }
            (Program::EdgeIngress | Program::UplinkXdp, 44..=52) => {
                recent(&self.from_node, dice).map(|known| (known.reply, false))
            }
            (_, 92..) => self.any_tuple(dice).map(|tuple| (tuple, dice.chance(50))),
            _ => None,
        };
        match known {
            Some((tuple, from_client)) => again(&tuple, from_client, dice),
            None => self.dial(program, services, dice),
        }
    }

    /// A client's packet to a frontend, or to nothing at all.
    fn dial(&self, program: Program, services: &[Service], dice: &mut Dice) -> Frame {
        let service = &services[dice.below(services.len())];
        let own = |host| at(self.family, host, 1);
        let (src, dst) = match (program, dice.below(24)) {
            (_, 20..) => (self.caller(program, dice), self.beside(service, dice)),
            (Program::EdgeEgress, 0..=2) => (own(dice.pick(&[20, 20, 21])), service.balanced),
            (Program::EdgeEgress, 3..=17) => (own(dice.pick(&[20, 20, 21])), service.cluster),
            (Program::EdgeEgress, _) => (own(20), SocketAddr::new(own(20), service.node_port)),
            (_, 0..=2) => (self.client(dice), service.balanced),
            (_, 3..=8) => (self.client(dice), service.cluster),
            (_, 9..=17) => (self.client(dice), SocketAddr::new(own(20), service.node_port)),
            (_, 18) => (self.client(dice), SocketAddr::new(own(21), service.node_port)),
            _ => (self.client(dice), SocketAddr::new(at(self.family, 96, 200), 80)),
        };
        let src = SocketAddr::new(src, 20_000 + dice.below(usize::from(CLIENT_PORTS)) as u16);
        frame(src, dst, service.proto, dice.pick(&FROM_CLIENTS))
    }

    /// Whose packets a program sees.
    fn caller(&self, program: Program, dice: &mut Dice) -> IpAddr {
        if program == Program::EdgeEgress { at(self.family, dice.pick(&[20, 20, 21]), 1) } else { self.client(dice) }
    }

    /// What is there beside a Service's main frontends: one of its externalIPs, other ports of its ClusterIP, addresses of nobody.
    fn beside(&self, service: &Service, dice: &mut Dice) -> SocketAddr {
        match dice.below(4) {
            0 | 1 => service.external,
            2 => SocketAddr::new(service.cluster.ip(), dice.pick(&[81, 443])),
            _ => SocketAddr::new(at(self.family, dice.pick(&[96, 97, 20]), 200), 80),
        }
    }

    /// A client: behind the router, on the wire, out of reach, or a pod that may be the endpoint itself.
    fn client(&self, dice: &mut Dice) -> IpAddr {
        let (net, hosts) = match dice.below(20) {
            0..=10 => (30, 8),
            11..=13 => (20, 3),
            14 => (40, 2),
            15..=17 => (1, 3),
            _ => (2, 2),
        };
        let first = if net == 20 { 2 } else { 1 };
        at(self.family, net, first + dice.below(hosts) as u16)
    }
}

/// TEST_RUN refuses to make a socket buffer of a frame without the network header that its EtherType announces.
fn is_whole(bytes: &[u8]) -> bool {
    let header = match bytes[12..14] {
        [0x08, 0x00] => 20,
        [0x86, 0xdd] => 40,
        _ => 0,
    };
    bytes.len() >= SHORTEST + header
}

fn recent(list: &[Known], dice: &mut Dice) -> Option<Known> {
    let window = if dice.chance(75) { RECENT.min(list.len()) } else { list.len() };
    (window > 0).then(|| list[list.len() - 1 - dice.below(window)])
}

fn again(tuple: &Tuple, from_client: bool, dice: &mut Dice) -> Frame {
    let src = SocketAddr::new(tuple.src.into(), tuple.sport.number());
    let dst = SocketAddr::new(tuple.dst.into(), tuple.dport.number());
    let flags = if from_client { dice.pick(&FROM_CLIENTS) } else { dice.pick(&FROM_SERVERS) };
    frame(src, dst, tuple.proto, flags)
}

fn frame(src: SocketAddr, dst: SocketAddr, proto: Proto, flags: u8) -> Frame {
    if proto == Proto::TCP { Frame::tcp(src, dst, flags) } else { Frame::udp(src, dst) }
}

/// Makes a frame one that a stack would not send, or that these programs leave alone.
fn spoil(bytes: &mut Vec<u8>, family: Family, dice: &mut Dice) {
    let length = bytes.len();
    let protocol = if family == Family::V4 { 23 } else { 20 };
    match dice.below(8) {
        0 => bytes.truncate(SHORTEST + 20 + dice.below(length - SHORTEST - 20)),
        1 if family == Family::V4 => bytes[14] = 0x40 | dice.below(16) as u8,
        1 => bytes[14] = (dice.below(16) << 4) as u8,
        2 if family == Family::V4 => bytes[20] = dice.pick(&[0x20, 0x40, 0x80, 0x01]),
        2 => bytes[protocol] = 44,
        3 => bytes[protocol] = dice.pick(&[0, 1, 6, 17, 43, 47, 51, 58, 60, 132, 135]),
        4 => bytes[12..14].copy_from_slice(&dice.pick(&[[0x08, 0x06], [0x81, 0x00], [0x86, 0xdd], [0x08, 0x00]])),
        5 => {
            let at = SHORTEST + dice.below(length - SHORTEST);
            bytes[at] = dice.below(256) as u8;
        }
        6 => {
            let end = length.min(SHORTEST + 60);
            bytes[SHORTEST..end].iter_mut().for_each(|byte| *byte = dice.below(256) as u8);
        }
        _ => {
            let checksum = length.min(SHORTEST + if family == Family::V4 { 36 } else { 56 });
            bytes[checksum - 2..checksum].copy_from_slice(&dice.pick(&[[0, 0], [0xff, 0xff]]));
        }
    }
}

//! What a packet costs at XDP and at tc, net of an empty program, in units of the reference program.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Result, bail, ensure};
use aya::programs::ProgramFd;
use aya::programs::xdp::XdpMode;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sluice_tests::bench::{Figure, Target};

use super::feeder::{self, Feeder, Kind, Ports};
use super::frame::{self, ACK, Frame, SYN, SYN_ACK};
use super::node::{self, CLIENT, LOCAL, Node, REMOTE, TO_LOCAL, TO_REMOTE};

/// Packets of known flows in a round.
const MANY: u32 = 20_000;
/// First packets in a round, with ports from there on: few, which have been opened and forgotten just before, so that the tables
/// are in the caches, as they are for every other figure here; and many, whose entries come from memory. None finds the table full.
const FEW: (u16, u32) = (20_000, 1_000);
const MORE: (u16, u32) = (30_000, 4_000);
const UNIT: &str = "units";
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
const NEXT: i32 = -1;
const REDIRECT: i32 = 7;

/// One thing that is measured.
struct Case {
    name: String,
    program: ProgramFd,
    frame: Frame,
    ports: Ports,
    packets: u32,
    /// Verdict and destination of the packet afterwards, so that a figure stands for work that was done.
    outcome: (i32, SocketAddrV4),
    target: Option<f64>,
}

/// Measures every case in each of `rounds` rounds.
/// Only those whose name holds `only`, if it is given: for a profiler.
pub fn measure(rounds: usize, only: Option<&str>) -> Result<Vec<Figure>> {
    let mut node = Node::make(&node::object("sluice.o"))?;
    node.add_services()?;
    let mut feeder = Feeder::load(&node::object("reference.o"), node.device)?;
    node.enter(move |node| -> Result<Vec<Figure>> {
        stay_on_one_cpu()?;
        let mut figures = Vec::new();
        keep_dispatcher(node, &mut feeder)?;
        for kind in Kind::ALL {
            let mut cases = cases(node, &mut feeder, kind)?;
            cases.retain(|case| only.is_none_or(|only| case.name.contains(only)));
            figures.extend(measure_kind(node, &mut feeder, kind, &cases, rounds)?);
        }
        Ok(figures)
    })?
}

/// Attaches the XDP feeder to the uplink. Of a program that no device has, BPF_PROG_TEST_RUN tells the dispatcher of XDP programs
/// before each run and waits for all readers of the old one (Linux 6.18); the CPU sleeps meanwhile, and its caches are lost.
fn keep_dispatcher(node: &Node, feeder: &mut Feeder) -> Result<()> {
    node.clear_uplink()?;
    feeder.xdp(&Kind::Xdp.of("feed"))?.attach_to_if_index(node.device, XdpMode::Driver)?;
    Ok(())
}

/// Keeps to the first CPU from here on.
pub fn stay_on_one_cpu() -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cpus)?)
}

fn measure_kind(node: &mut Node, feeder: &mut Feeder, kind: Kind, cases: &[Case], rounds: usize) -> Result<Vec<Figure>> {
    let empty = feeder.program(&kind.of("empty"))?;
    let reference = feeder.program(&kind.of("reference"))?;
    let known = frame::tcp(CLIENT, TO_LOCAL, ACK);
    feeder.know(&known)?;
    let mut noise = Vec::new();
    let mut values = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        let mut base = |program| -> Result<f64> { Ok(feeder.run(kind, program, &known, Ports::Same, MANY)?.nanos) };
        let (nothing, one, other) = (base(&empty)?, base(&reference)?, base(&reference)?);
        let unit = (one + other) / 2.0 - nothing;
        noise.push((other - nothing) / (one - nothing));
        for (case, values) in cases.iter().zip(&mut values) {
            if matches!(case.ports, Ports::From(port) if port == FEW.0) {
                feeder.run(kind, &case.program, &case.frame, case.ports, case.packets)?;
                forget_first(node, feeder, kind)?;
            }
            let nothing = feeder.run(kind, &empty, &case.frame, case.ports, case.packets)?.nanos;
            let run = feeder.run(kind, &case.program, &case.frame, case.ports, case.packets)?;
            case.check(run.verdict, &run.out)?;
            values.push((run.nanos - nothing) / unit);
        }
        forget_first(node, feeder, kind)?;
    }
    let figure = |(case, values): (&Case, &Vec<f64>)| {
        let figure = Figure::new(&case.name, UNIT, values).beside(&noise);
        case.target.map_or(figure.clone(), |most| figure.target(Target::AtMost(most)))
    };
    Ok(cases.iter().zip(&values).map(figure).collect())
}

/// Empties the tables of flows and opens again those that are measured as established.
fn forget_first(node: &mut Node, feeder: &mut Feeder, kind: Kind) -> Result<()> {
    node.forget_flows()?;
    establish(node, feeder, kind, TO_LOCAL).and_then(|_| establish(node, feeder, kind, TO_REMOTE)).map(drop)
}

impl Case {
    fn check(&self, verdict: i32, out: &Frame) -> Result<()> {
        let to = frame::ends(out).1;
        ensure!(
            (verdict, to) == self.outcome,
            "{}: the packet went to {to} with verdict {verdict}, not {:?}",
            self.name,
            self.outcome
        );
        ensure!(matches!(self.ports, Ports::From(_)) || frame::is_sound(out), "{}: wrong checksums", self.name);
        Ok(())
    }
}

fn cases(node: &mut Node, feeder: &mut Feeder, kind: Kind) -> Result<Vec<Case>> {
    establish(node, feeder, kind, TO_LOCAL)?;
    establish(node, feeder, kind, TO_REMOTE)?;
    let ingress = feeder::load(&mut node.ebpf, hooks(kind))?;
    let (pass, out) = if kind == Kind::Xdp { (XDP_PASS, XDP_TX) } else { (NEXT, REDIRECT) };
    let pod = SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, 77), 443);
    let ssh = SocketAddrV4::new(*TO_LOCAL.ip(), 22);
    let (established, opening) = if kind == Kind::Xdp { (4.0, 30.0) } else { (8.0, 30.0) };
    let case = |name: &str, frame, (ports, packets), outcome, target| -> Result<Case> {
        let name = format!("{}: {name}", kind.word());
        Ok(Case { name, program: ingress.try_clone()?, frame, ports, packets, outcome, target })
    };
    let (same, few, more) = ((Ports::Same, MANY), from(FEW), from(MORE));
    let mut cases = vec![
        case("established, local backend", frame::tcp(CLIENT, TO_LOCAL, ACK), same, (pass, LOCAL), Some(established))?,
        case("established, remote backend", frame::tcp(CLIENT, TO_REMOTE, ACK), same, (out, REMOTE), None)?,
        case("first packet, local backend", frame::tcp(CLIENT, TO_LOCAL, SYN), few, (pass, LOCAL), Some(opening))?,
        case("first packet, remote backend", frame::tcp(CLIENT, TO_REMOTE, SYN), few, (out, REMOTE), None)?,
        case("first packet of 4,000, local backend", frame::tcp(CLIENT, TO_LOCAL, SYN), more, (pass, LOCAL), Some(opening))?,
        case("first packet of 4,000, remote backend", frame::tcp(CLIENT, TO_REMOTE, SYN), more, (out, REMOTE), None)?,
        case("not ours, to a pod", frame::tcp(CLIENT, pod, ACK), same, (pass, pod), None)?,
        case("not ours, to the node", frame::tcp(CLIENT, ssh, ACK), same, (pass, ssh), None)?,
    ];
    if kind == Kind::Tc {
        let program = feeder::load(&mut node.ebpf, "edge_egress")?;
        let name = "tc: established, reply of a local backend".to_owned();
        let frame = frame::tcp(LOCAL, CLIENT, ACK);
        let (ports, packets) = same;
        cases.push(Case { name, program, frame, ports, packets, outcome: (NEXT, CLIENT), target: None });
    }
    Ok(cases)
}

fn from((port, packets): (u16, u32)) -> (Ports, u32) {
    (Ports::From(port), packets)
}

fn hooks(kind: Kind) -> &'static str {
    if kind == Kind::Xdp { "uplink_xdp" } else { "edge_ingress" }
}

/// Opens a connection as its two ends do: SYN, answer, ACK.
pub fn establish(node: &mut Node, feeder: &mut Feeder, kind: Kind, dialled: SocketAddrV4) -> Result<()> {
    let ingress = feeder::load(&mut node.ebpf, hooks(kind))?;
    let egress = feeder::load(&mut node.ebpf, "edge_egress")?;
    let syn = feeder.run(kind, &ingress, &frame::tcp(CLIENT, dialled, SYN), Ports::Same, 1)?.out;
    let (client, backend) = frame::ends(&syn);
    if backend == dialled {
        bail!("{}: no translation towards {dialled}", hooks(kind));
    }
    let answer = frame::tcp(backend, client, SYN_ACK);
    // A client that keeps its address is answered over the stack and the uplink's egress, a masqueraded one at its ingress.
    let (hook, program) = if client == CLIENT { (Kind::Tc, &egress) } else { (kind, &ingress) };
    let answer = feeder.run(hook, program, &answer, Ports::Same, 1)?.out;
    ensure!(frame::ends(&answer) == (dialled, CLIENT), "the answer came back from {:?}", frame::ends(&answer));
    feeder.run(kind, &ingress, &frame::tcp(CLIENT, dialled, ACK), Ports::Same, 1).map(drop)
}

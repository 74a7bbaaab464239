//! The decisions as they run here, carried out as the hooks of `proxy-ebpf` carry them out.

use proxy_common::abi::{Hook, Reason, Scratch, Tuple};
use proxy_common::lb::{self, Direction, Edge, Path, Place, Verdict};
use proxy_common::packet::{self, Bytes, L3, Parsed};
use proxy_common::testing::Memory;

/// TCX_NEXT.
const NEXT: u32 = u32::MAX;
const SHOT: u32 = 2;
const REDIRECT: u32 = 7;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

type Buffer = Bytes<512>;

/// What became of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What the program returned.
    pub action: u32,
    /// The frame, with what XDP wrote before it.
    pub bytes: Vec<u8>,
}

/// What the native body knows beside the outcome.
#[derive(Clone, Debug)]
pub struct Insight {
    /// Why.
    pub reason: Reason,
    /// The packet's headers, if it has any that count.
    pub parsed: Option<Parsed>,
    /// The decision's values.
    pub scratch: Scratch,
}

/// Where packets are met.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Program {
    /// Into the node at an uplink.
    EdgeIngress,
    /// Out of the node at an uplink.
    EdgeEgress,
    /// Into the node at an uplink, at XDP.
    UplinkXdp,
    /// From a pod.
    PodIngress,
}

impl Program {
    /// The program's name in the object.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdgeIngress => "edge_ingress",
            Self::EdgeEgress => "edge_egress",
            Self::UplinkXdp => "uplink_xdp",
            Self::PodIngress => "pod_ingress",
        }
    }

    /// The place of the program at a device.
    pub fn place(self, device: u32, received: u32) -> Place {
        let (hook, edge, direction, made_here) = match self {
            Self::EdgeIngress => (Hook::TcIngress, Edge::Outside, Direction::Ingress, received == 0),
            Self::EdgeEgress => (Hook::TcEgress, Edge::Outside, Direction::Egress, received == 0),
            Self::UplinkXdp => (Hook::Xdp, Edge::Outside, Direction::Ingress, false),
            Self::PodIngress => (Hook::TcIngress, Edge::Pod, Direction::Ingress, received == 0),
        };
        Place { hook, edge, direction, device, made_here }
    }
}

/// Runs a program on a frame.
pub fn run(env: &mut Memory, program: Program, place: &Place, frame: &[u8]) -> (Outcome, Insight) {
    let mut buffer = Buffer::new(frame);
    let mut scratch: Scratch = bytemuck::Zeroable::zeroed();
    let pass = if program == Program::UplinkXdp { XDP_PASS } else { NEXT };
    let parsed = match packet::parse(&buffer) {
        Ok(parsed) => parsed,
        Err(reason) => {
            let outcome = Outcome { action: pass, bytes: frame.to_vec() };
            return (outcome, Insight { reason, parsed: None, scratch });
        }
    };
    let verdict = lb::decide(env, place, &parsed, &mut scratch);
    let (action, reason, mark) = if program == Program::UplinkXdp {
        carry_out_xdp(&mut buffer, env.config.mark(place.device), place, &parsed, &verdict, &scratch)
    } else {
        let (action, reason) = carry_out_tc(&mut buffer, &parsed, &verdict, &scratch);
        (action, reason, None)
    };
    let bytes = mark.map_or_else(Vec::new, |mark: u32| mark.to_ne_bytes().to_vec());
    let outcome = Outcome { action, bytes: [&bytes, buffer.as_slice()].concat() };
    (outcome, Insight { reason, parsed: Some(parsed), scratch })
}

fn carry_out_tc(buffer: &mut Buffer, parsed: &Parsed, verdict: &Verdict, scratch: &Scratch) -> (u32, Reason) {
    let done = match verdict.path {
        Path::Pass => return (NEXT, verdict.reason),
        Path::Drop => return (SHOT, verdict.reason),
        Path::Stack => packet::translate(buffer, parsed, &scratch.to, false).map(|()| NEXT),
        Path::Out => packet::translate(buffer, parsed, &scratch.to, true).map(|()| REDIRECT),
        Path::Reject => packet::reject(buffer, parsed).map(|()| REDIRECT),
    };
    done.map_or((SHOT, Reason::RewriteFailed), |action| (action, verdict.reason))
}

fn carry_out_xdp(
    buffer: &mut Buffer,
    mark: u32,
    place: &Place,
    parsed: &Parsed,
    verdict: &Verdict,
    scratch: &Scratch,
) -> (u32, Reason, Option<u32>) {
    match verdict.path {
        Path::Pass => (XDP_PASS, verdict.reason, None),
        Path::Drop | Path::Reject => (XDP_PASS, Reason::Deferred, None),
        Path::Stack => match packet::translate(buffer, parsed, &scratch.to, false) {
            Some(()) => (XDP_PASS, verdict.reason, Some(mark)),
            None => (XDP_DROP, Reason::RewriteFailed, Some(mark)),
        },
        Path::Out => {
            let sent = packet::translate(buffer, parsed, &scratch.to, true).and_then(|()| packet::link(buffer, &scratch.hop));
            let action = if scratch.hop.device == place.device { XDP_TX } else { XDP_REDIRECT };
            (sent.map_or(XDP_DROP, |()| action), verdict.reason, None)
        }
    }
}

/// The least that TEST_RUN takes for a frame.
pub const SHORTEST: usize = L3;

/// The tuple of a frame that counts.
pub fn key(frame: &[u8]) -> Option<Tuple> {
    packet::parse(&Buffer::new(frame)).ok().map(|parsed| parsed.tuple)
}

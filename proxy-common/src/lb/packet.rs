//! The verdict on a packet: a known flow, or a frontend, or not ours.
//!
//! The decision changes connections and flow tables but never the packet; [`Verdict`] says what shall become of it.

use super::frontend::in_service_cidr;
use super::open::{choose, open};
use super::{Class, Env, flow};
use crate::abi::{Addr, DeviceFlags, Disposition, FlowFlags, Hook, NextHop, Reason, Scratch, Tuple};
use crate::packet::Parsed;

/// Which way a packet passes a device, seen from the node's stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Into the node.
    Ingress,
    /// Out of the node.
    Egress,
}

/// What a device is the edge to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edge {
    /// Clients come in here: uplinks and overlays.
    Outside,
    /// Pods; only replies of masqueraded flows are looked up.
    Pod,
}

/// Where a packet is met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The hook.
    pub hook: Hook,
    /// The edge.
    pub edge: Edge,
    /// The way.
    pub direction: Direction,
    /// Index of the device.
    pub device: u32,
    /// At egress: whether the packet was made on this node rather than received or redirected.
    pub made_here: bool,
}

/// Where a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// On, as it came.
    Pass,
    /// On, with the tuple [`Scratch::to`].
    Stack,
    /// Out to [`Scratch::hop`], with the tuple [`Scratch::to`].
    Out,
    /// Back, as a *port unreachable*.
    Reject,
    /// Nowhere.
    Drop,
}

/// What shall become of a packet, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Why.
    pub reason: Reason,
    /// Where it goes.
    pub path: Path,
}

/// Decides on a packet. Connections and flow entries are made, moved and marked; the packet is not touched.
#[inline(always)]
pub fn decide<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Verdict {
    if !place.concerns(env, &parsed.tuple) {
        return place.refuse(Reason::Untouched);
    }
    let class = Class::of(parsed.tuple.proto);
    if let Some(verdict) = flow::follow(env, place, parsed, class, scratch) {
        return verdict;
    }
    if !place.opens() {
        return place.refuse(Reason::Untouched);
    }
    let mut reason = choose(env, place, parsed, class, scratch);
    if reason.disposition() == Disposition::Translate {
        if parsed.hop_limit <= 1 && scratch.flow.flags.with(FlowFlags::FORWARD).redirects() {
            return place.refuse(Reason::HopLimit);
        }
        reason = open(env, &parsed.tuple, class, scratch);
    }
    if reason.disposition() != Disposition::Translate {
        return place.refuse(reason);
    }
    let redirected = scratch.flow.flags.redirects();
    // Another CPU may have opened the flow, on a way that only tc can go.
    if redirected && !place.reaches(&scratch.hop) {
        return place.refuse(Reason::Deferred);
    }
    place.translate(parsed, reason, redirected)
}

#[inline(always)]
fn is_dialled<E: Env>(env: &E, dst: &Addr) -> bool {
    env.interest(dst) != 0 || in_service_cidr(env, dst)
}

impl Place {
    /// Whether the packet may belong to a flow or a frontend at all. Everything else leaves here, before any table is searched:
    /// nobody pays for what he does not use.
    #[inline(always)]
    fn concerns<E: Env>(&self, env: &E, tuple: &Tuple) -> bool {
        match self.direction {
            Direction::Ingress => is_dialled(env, &tuple.dst),
            Direction::Egress => env.may_answer(&tuple.src) || (self.made_here && is_dialled(env, &tuple.dst)),
        }
    }

    /// Whether new flows begin here: where clients come in, and where the node's own packets leave.
    #[inline(always)]
    pub(super) fn opens(&self) -> bool {
        match self.direction {
            Direction::Ingress => self.edge == Edge::Outside,
            Direction::Egress => self.made_here,
        }
    }

    /// Whether an entry with these flags is meant for packets at this place.
    #[inline(always)]
    pub(super) fn sees(&self, flags: FlowFlags) -> bool {
        let from_node = flags.has(FlowFlags::FROM_NODE);
        if flags.has(FlowFlags::FORWARD) {
            return self.opens() && from_node == (self.direction == Direction::Egress);
        }
        let at_ingress = from_node || flags.has(FlowFlags::MASQUERADE);
        at_ingress == (self.direction == Direction::Ingress)
    }

    /// Asks the kernel for the next hop from a source to a destination, and notes whether XDP can send frames there: DEVICES is a look-up
    /// that no later packet of the flow has to pay. Returns the source address that the route prefers.
    #[inline(always)]
    pub(super) fn route<E: Env>(&self, env: &mut E, between: (&Addr, &Addr), hop: &mut NextHop) -> Option<Addr> {
        let source = env.route(between, self.device, hop)?;
        hop.by_xdp = u16::from(hop.has_link() && env.device(hop.device).has(DeviceFlags::XDP_TARGET));
        Some(source)
    }

    /// Whether this hook can send a packet to the next hop.
    #[inline(always)]
    pub(super) fn reaches(&self, hop: &NextHop) -> bool {
        self.hook != Hook::Xdp || hop.by_xdp != 0
    }

    /// The verdict for a reason that leaves the packet untranslated. What XDP cannot finish it leaves to tc.
    #[inline(always)]
    pub(super) fn refuse(&self, reason: Reason) -> Verdict {
        let path = match reason.disposition() {
            Disposition::Pass | Disposition::Translate => Path::Pass,
            _ if self.hook == Hook::Xdp => return Verdict { reason: Reason::Deferred, path: Path::Pass },
            Disposition::Reject => Path::Reject,
            Disposition::Drop => Path::Drop,
        };
        Verdict { reason, path }
    }

    /// The verdict for a translated packet: up the stack, or out as a router forwards it.
    #[inline(always)]
    pub(super) fn translate(&self, parsed: &Parsed, reason: Reason, redirected: bool) -> Verdict {
        if !redirected {
            return Verdict { reason, path: Path::Stack };
        }
        if parsed.hop_limit <= 1 {
            return self.refuse(Reason::HopLimit);
        }
        Verdict { reason, path: Path::Out }
    }
}

//! The XDP hook: the same decisions, before anything is allocated. What it cannot finish it leaves to tc, unmodified.

use crate::count::count;
use crate::env::Kernel;
use crate::maps::{self, CONFIG, Work};
use crate::xdp_packet::XdpPacket;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::generated::{bpf_redirect, bpf_xdp_adjust_meta};
use aya_ebpf::programs::XdpContext;
use proxy_common::abi::{Hook, NextHop, Reason, Scratch, Tuple};
use proxy_common::lb::{self, Direction, Edge, Path, Place, Verdict};
use proxy_common::packet::{self, Parsed};

/// Decides on a packet and carries the verdict out.
#[inline(always)]
pub fn run(ctx: &XdpContext) -> u32 {
    let mut packet = XdpPacket::new(ctx.ctx);
    let length = packet.len();
    let device = ctx.ingress_ifindex() as u32;
    let Some(work) = maps::work() else { return XDP_PASS };
    let place = Place { hook: Hook::Xdp, edge: Edge::Outside, direction: Direction::Ingress, device, made_here: false };
    let (action, reason) = match packet::parse(&packet) {
        Err(reason) => (XDP_PASS, reason),
        Ok(parsed) => {
            work.parsed = parsed;
            let Work { parsed, scratch } = work;
            let verdict = lb::decide(&mut Kernel::new(ctx.as_ptr()), &place, parsed, scratch);
            carry_out(ctx, &mut packet, parsed, &verdict, scratch)
        }
    };
    count(Hook::Xdp, reason, length);
    action
}

#[inline(always)]
fn carry_out(ctx: &XdpContext, packet: &mut XdpPacket, parsed: &Parsed, verdict: &Verdict, scratch: &Scratch) -> (u32, Reason) {
    match verdict.path {
        Path::Pass => (XDP_PASS, verdict.reason),
        Path::Drop | Path::Reject => (XDP_PASS, Reason::Deferred),
        Path::Stack => pass_up(ctx, packet, parsed, verdict.reason, &scratch.to),
        Path::Out => (send(ctx, packet, parsed, &scratch.to, &scratch.hop), verdict.reason),
    }
}

/// Translates a packet for this node and marks it, so that tc leaves it alone.
#[inline(always)]
fn pass_up(ctx: &XdpContext, packet: &mut XdpPacket, parsed: &Parsed, reason: Reason, to: &Tuple) -> (u32, Reason) {
    if !mark(ctx) {
        return (XDP_PASS, Reason::Deferred);
    }
    match packet::translate(packet, parsed, to, false) {
        Some(()) => (XDP_PASS, reason),
        None => (XDP_DROP, Reason::RewriteFailed),
    }
}

#[inline(always)]
fn send(ctx: &XdpContext, packet: &mut XdpPacket, parsed: &Parsed, to: &Tuple, hop: &NextHop) -> u32 {
    if packet::translate(packet, parsed, to, true).is_none() || packet::link(packet, hop).is_none() {
        return XDP_DROP;
    }
    if hop.device == ctx.ingress_ifindex() as u32 {
        return XDP_TX;
    }
    // SAFETY: takes values alone.
    unsafe { bpf_redirect(hop.device, 0) as u32 }
}

#[inline(always)]
fn mark(ctx: &XdpContext) -> bool {
    // SAFETY: the hook's own context; the word lies between metadata and data, as checked.
    unsafe {
        if bpf_xdp_adjust_meta(ctx.ctx, -(size_of::<u32>() as i32)) != 0 {
            return false;
        }
        let start = (*ctx.ctx).data_meta as usize;
        let end = (*ctx.ctx).data as usize;
        if start + size_of::<u32>() > end {
            return false;
        }
        let Some(config) = CONFIG.get(0) else { return false };
        *(start as *mut u32) = config.mark(ctx.ingress_ifindex() as u32);
        true
    }
}

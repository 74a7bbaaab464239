//! The tc hooks.

use crate::count::count;
use crate::env::{self, Kernel};
use crate::maps::{self, CONFIG, ICMP_TOKENS, Work};
use crate::route;
use crate::tc_packet::TcPacket;
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_redirect;
use aya_ebpf::programs::TcContext;
use proxy_common::abi::{Hook, Reason, Scratch};
use proxy_common::lb::{self, Direction, Edge, Path, Place, Verdict};
use proxy_common::packet::{self, Parsed};

/// On to the next program (TCX_NEXT, and TC_ACT_UNSPEC under clsact).
const NEXT: i32 = -1;
const SHOT: i32 = 2;
const TO_INGRESS: u64 = 1;

/// Decides on a packet and carries the verdict out.
#[inline(always)]
pub fn run(ctx: &TcContext, edge: Edge, direction: Direction) -> i32 {
    let Some(work) = maps::work() else { return NEXT };
    let place = place(ctx, edge, direction);
    if direction == Direction::Ingress && edge == Edge::Outside && is_marked(ctx) {
        count(place.hook, Reason::Translated, ctx.len());
        return NEXT;
    }
    let mut packet = TcPacket::new(ctx.skb.skb);
    let length = packet.len();
    let (action, reason) = match packet::parse(&packet) {
        Err(reason) => (NEXT, reason),
        Ok(parsed) => {
            work.parsed = parsed;
            let Work { parsed, scratch } = work;
            let verdict = lb::decide(&mut Kernel::new(ctx.as_ptr()), &place, parsed, scratch);
            carry_out(&mut packet, &place, parsed, &verdict, scratch)
        }
    };
    count(place.hook, reason, length);
    action
}

#[inline(always)]
fn place(ctx: &TcContext, edge: Edge, direction: Direction) -> Place {
    let hook = if direction == Direction::Ingress { Hook::TcIngress } else { Hook::TcEgress };
    // SAFETY: fields of the hook's context.
    let (device, received) = unsafe { ((*ctx.skb.skb).ifindex, (*ctx.skb.skb).ingress_ifindex) };
    Place { hook, edge, direction, device, made_here: received == 0 }
}

#[inline(always)]
fn carry_out(packet: &mut TcPacket, place: &Place, parsed: &Parsed, verdict: &Verdict, scratch: &Scratch) -> (i32, Reason) {
    let reason = verdict.reason;
    match verdict.path {
        Path::Pass => (NEXT, reason),
        Path::Drop => (SHOT, reason),
        Path::Stack => match packet::translate(packet, parsed, &scratch.to, false) {
            Some(()) => (NEXT, reason),
            None => (SHOT, Reason::RewriteFailed),
        },
        Path::Out => match packet::translate(packet, parsed, &scratch.to, true) {
            Some(()) => (route::redirect(&scratch.hop), reason),
            None => (SHOT, Reason::RewriteFailed),
        },
        Path::Reject => reject(packet, place, parsed, reason),
    }
}

/// Sends the packet's refusal back over the link it came from; to a process of this node, back up the stack.
#[inline(always)]
fn reject(packet: &mut TcPacket, place: &Place, parsed: &Parsed, reason: Reason) -> (i32, Reason) {
    if !may_answer() {
        return (SHOT, Reason::RejectLimited);
    }
    if packet::reject(packet, parsed).is_none() {
        return (SHOT, Reason::RewriteFailed);
    }
    let flags = if place.direction == Direction::Egress { TO_INGRESS } else { 0 };
    // SAFETY: takes values alone.
    (unsafe { bpf_redirect(place.device, flags) } as i32, reason)
}

#[inline(always)]
fn may_answer() -> bool {
    let (Some(bucket), Some(config)) = (ICMP_TOKENS.get_ptr_mut(0), CONFIG.get(0)) else { return false };
    // SAFETY: a slot of a per-CPU array, which only this CPU writes.
    lb::take_token(unsafe { &mut *bucket }, env::now(), config.icmp_per_second)
}

/// Whether XDP has translated the packet. The mark stays: the kernel copies the head of a cloned packet before any program that
/// writes to packets or their metadata directly (`tc_cls_act_prologue`).
#[inline(always)]
fn is_marked(ctx: &TcContext) -> bool {
    // SAFETY: fields of the hook's context, and a word between them, as checked.
    unsafe {
        let start = (*ctx.skb.skb).data_meta as usize;
        let end = (*ctx.skb.skb).data as usize;
        start + size_of::<u32>() <= end
            && CONFIG.get(0).is_some_and(|config| *(start as *const u32) == config.mark((*ctx.skb.skb).ifindex))
    }
}

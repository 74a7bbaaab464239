//! Known flows: an established flow is never judged again.
//!
//! A flow has two entries, the client's and the reply's, each written by packets of its own direction alone. A live entry is
//! never overwritten: entries are made with *no exist*, reply first, and move between tables by insert first, delete second.

use super::packet::{Place, Verdict};
use super::select::serves;
use super::{Env, FlowTable, Path, RouteQuery};
use crate::abi::{Flow, FlowFlags, NextHop, Proto, Reason, Tuple};
use crate::packet::Parsed;

/// How often a client's packets look whether the reply's entry is in place, in milliseconds: so long may replies go astray
/// after an eviction.
const CHECK_INTERVAL: u32 = 1_000;

const CLOSING: FlowFlags = FlowFlags::FIN.with(FlowFlags::RST);

/// The verdict on a packet of a known flow; `None` if there is no flow, or one that must start anew.
#[inline(always)]
pub fn follow<E: Env>(env: &mut E, place: &Place, parsed: &Parsed) -> Option<Verdict> {
    let key = &parsed.tuple;
    let hit = find(env, place, parsed)?;
    if hit.flow.flags.has(FlowFlags::FORWARD) {
        if !continues(env, key, parsed, &hit) {
            remove_pair(env, key, &hit.flow.to);
            return None;
        }
        if !hit.flow.flags.has(FlowFlags::ESTABLISHED) && !parsed.tcp.opens() {
            promote(env, key, &hit.flow);
        }
    }
    Some(deliver(env, place, parsed, &hit))
}

/// A flow entry as it was found, with what its packet changed in it.
struct Hit {
    flow: Flow,
    table: FlowTable,
    check_due: bool,
}

#[inline(always)]
fn find<E: Env>(env: &mut E, place: &Place, parsed: &Parsed) -> Option<Hit> {
    let proto = parsed.tuple.proto;
    let (established, embryonic) = (FlowTable::established(proto), FlowTable::embryonic(proto));
    // A flow may move from the second to the first between two look-ups, so the first is asked again.
    find_in(env, place, parsed, established)
        .or_else(|| find_in(env, place, parsed, embryonic))
        .or_else(|| find_in(env, place, parsed, established))
}

#[inline(always)]
fn find_in<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, table: FlowTable) -> Option<Hit> {
    let now = env.now();
    let entry = env.flow(table, &parsed.tuple)?;
    if !place.sees(entry.flags) {
        return None;
    }
    let check_due = touch(entry, parsed, now);
    Some(Hit { flow: *entry, table, check_due })
}

/// Notes a packet in its entry. Memory that other CPUs read is written only if it changes.
#[inline(always)]
fn touch(entry: &mut Flow, parsed: &Parsed, now: u32) -> bool {
    if entry.seen != now {
        entry.seen = now;
    }
    let mut flags = entry.flags.with(FlowFlags::ANSWERED);
    if parsed.tcp.is_fin() {
        flags = flags.with(FlowFlags::FIN);
    }
    if parsed.tcp.is_rst() {
        flags = flags.with(FlowFlags::RST);
    }
    if entry.flags != flags {
        entry.flags = flags;
    }
    let check_due = now.wrapping_sub(entry.checked) >= CHECK_INTERVAL;
    if check_due {
        entry.checked = now;
    }
    check_due
}

/// Whether the client's packet belongs to this flow still, rather than to a new one on the same tuple.
#[inline(always)]
fn continues<E: Env>(env: &mut E, key: &Tuple, parsed: &Parsed, hit: &Hit) -> bool {
    let flow = &hit.flow;
    let judged_anew = parsed.tcp.opens() || key.proto != Proto::TCP;
    if judged_anew && !serves(env, flow.backend, flow.generation) {
        return false;
    }
    if parsed.tcp.opens() && is_closing(env, hit) {
        return false;
    }
    !hit.check_due || !flow.flags.has(FlowFlags::ESTABLISHED) || restore_reply(env, key, hit)
}

#[inline(always)]
fn is_closing<E: Env>(env: &mut E, hit: &Hit) -> bool {
    let reply = hit.flow.to.reversed();
    hit.flow.flags.any(CLOSING) || env.flow(hit.table, &reply).is_some_and(|entry| entry.flags.any(CLOSING))
}

/// Puts an evicted reply entry back. `false` if another flow has taken its place.
#[inline(always)]
fn restore_reply<E: Env>(env: &mut E, key: &Tuple, hit: &Hit) -> bool {
    let reply = hit.flow.to.reversed();
    let to = key.reversed();
    if let Some(entry) = env.flow(hit.table, &reply) {
        return entry.to == to;
    }
    let flags = hit.flow.flags.without(FlowFlags::FORWARD.with(CLOSING));
    let _ = env.insert_flow(hit.table, &reply, &Flow { to, flags, hop: NextHop::NONE, ..hit.flow });
    true
}

/// Moves a flow whose client has answered the reply to the table of established ones.
#[inline(always)]
fn promote<E: Env>(env: &mut E, key: &Tuple, forward: &Flow) {
    let embryonic = FlowTable::embryonic(key.proto);
    let established = FlowTable::established(key.proto);
    let reply_key = forward.to.reversed();
    let Some(entry) = env.flow(embryonic, &reply_key) else { return };
    let mut flow = *entry;
    if !flow.flags.has(FlowFlags::ANSWERED) || flow.to != key.reversed() {
        return;
    }
    flow.flags = flow.flags.with(FlowFlags::ESTABLISHED);
    if env.insert_flow(established, &reply_key, &flow).is_err() {
        return;
    }
    flow = Flow { flags: forward.flags.with(FlowFlags::ESTABLISHED), ..*forward };
    if env.insert_flow(established, key, &flow).is_err() {
        env.remove_flow(established, &reply_key);
        return;
    }
    env.remove_flow(embryonic, key);
    env.remove_flow(embryonic, &reply_key);
}

#[inline(always)]
fn deliver<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, hit: &Hit) -> Verdict {
    let flags = hit.flow.flags;
    let forward = flags.has(FlowFlags::FORWARD);
    let reason = if forward { Reason::Forward } else { Reason::Reply };
    let redirected = flags.has(FlowFlags::MASQUERADE) || (forward && flags.has(FlowFlags::FROM_NODE));
    if !redirected {
        return Verdict { reason, path: Path::Stack, to: hit.flow.to };
    }
    match next_hop(env, place, &parsed.tuple, hit) {
        Some(hop) if place.reaches(env, &hop) => place.send_out(parsed, reason, hit.flow.to, hop),
        Some(_) => place.refuse(parsed, Reason::Deferred),
        None => place.refuse(parsed, Reason::NoRoute),
    }
}

/// The flow's next hop: the one it keeps, or a new one if routes or neighbours have changed since.
#[inline(always)]
fn next_hop<E: Env>(env: &mut E, place: &Place, key: &Tuple, hit: &Hit) -> Option<NextHop> {
    let epoch = env.config()?.epoch;
    let kept = &hit.flow.hop;
    if kept.device != 0 && kept.epoch == epoch {
        return Some(*kept);
    }
    let query = RouteQuery { src: hit.flow.to.src, dst: hit.flow.to.dst, device: place.device };
    let hop = env.route(&query)?.hop;
    if let Some(entry) = env.flow(hit.table, key) {
        entry.hop = hop;
    }
    Some(hop)
}

/// Removes a flow: the client's key, and the tuple that its packets became.
#[inline(always)]
pub(super) fn remove_pair<E: Env>(env: &mut E, key: &Tuple, to: &Tuple) {
    let reply = to.reversed();
    for table in [FlowTable::established(key.proto), FlowTable::embryonic(key.proto)] {
        env.remove_flow(table, key);
        env.remove_flow(table, &reply);
    }
}

/// Whether the flow of a reply entry is over, and since when it has been silent.
#[inline(always)]
pub(super) fn closed_since<E: Env>(env: &mut E, table: FlowTable, reply: &Flow) -> Option<u32> {
    let forward = env.flow(table, &reply.to.reversed()).map(|entry| entry.flags);
    let over = match forward {
        None => true,
        Some(flags) => {
            flags.with(reply.flags).has(FlowFlags::RST) || (flags.has(FlowFlags::FIN) && reply.flags.has(FlowFlags::FIN))
        }
    };
    over.then_some(reply.seen)
}

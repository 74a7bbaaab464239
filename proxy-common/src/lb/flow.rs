//! Known flows: an established flow is never judged again.
//!
//! A flow has two entries, the client's and the reply's, each written by packets of its own direction alone. A live entry is
//! never overwritten: entries are made with *no exist*, reply first, and move between tables by insert first, delete second.

use super::packet::{Place, Verdict};
use super::select::serves;
use super::{Env, FlowTable, Path, RouteQuery};
use crate::abi::{Flow, FlowFlags, NextHop, Proto, Reason, Scratch, Tuple};
use crate::packet::Parsed;

/// How often a client's packets look whether the reply's entry is in place, in milliseconds: so long may replies go astray
/// after an eviction.
const CHECK_INTERVAL: u32 = 1_000;

const CLOSING: FlowFlags = FlowFlags::FIN.with(FlowFlags::RST);

/// The verdict on a packet of a known flow; `None` if there is no flow, or one that must start anew.
#[inline(always)]
pub fn follow<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Option<Verdict> {
    let key = &parsed.tuple;
    let hit = find(env, place, parsed)?;
    if hit.flags.has(FlowFlags::FORWARD) && needs_care(parsed, &hit) && !tend(env, key, parsed, hit.table, scratch) {
        return None;
    }
    deliver(env, place, parsed, &hit)
}

/// What a packet needs of the entry that it met, with what the packet changed in it.
struct Hit {
    to: Tuple,
    flags: FlowFlags,
    hop: NextHop,
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
    Some(Hit { to: entry.to, flags: entry.flags, hop: entry.hop, table, check_due })
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

/// Whether a client's packet is more than the next one of an established connection.
#[inline(always)]
fn needs_care(parsed: &Parsed, hit: &Hit) -> bool {
    parsed.tcp.opens() || parsed.tuple.proto != Proto::TCP || hit.check_due || !hit.flags.has(FlowFlags::ESTABLISHED)
}

/// Sees to the flow of a client's packet: moves it once answered, restores its reply entry. `false` if the packet begins a new
/// flow on the same tuple; the old one is gone then.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
fn tend<E: Env>(env: &mut E, key: &Tuple, parsed: &Parsed, table: FlowTable, scratch: &mut Scratch) -> bool {
    let Some(entry) = env.flow(table, key) else { return false };
    scratch.flow = *entry;
    scratch.reply = scratch.flow.to.reversed();
    let opens = parsed.tcp.opens();
    if !continues(env, key, opens, table, scratch) {
        remove_pair(env, key, &scratch.reply);
        return false;
    }
    if !scratch.flow.flags.has(FlowFlags::ESTABLISHED) && !opens {
        promote(env, key, scratch);
    }
    true
}

/// Whether the client's packet belongs to this flow still, rather than to a new one on the same tuple.
#[inline(always)]
fn continues<E: Env>(env: &mut E, key: &Tuple, opens: bool, table: FlowTable, scratch: &mut Scratch) -> bool {
    let judged_anew = opens || key.proto != Proto::TCP;
    if judged_anew && !serves(env, scratch.flow.backend, scratch.flow.generation) {
        return false;
    }
    let reply = env.flow(table, &scratch.reply).map(|entry| (entry.flags, entry.to == key.reversed()));
    match reply {
        Some((flags, own)) => own && !(opens && flags.with(scratch.flow.flags).any(CLOSING)),
        None => {
            let client_flags = scratch.flow.flags;
            if opens && client_flags.any(CLOSING) {
                return false;
            }
            restore_reply(env, key, table, scratch);
            true
        }
    }
}

/// Puts an evicted reply entry back.
#[inline(always)]
fn restore_reply<E: Env>(env: &mut E, key: &Tuple, table: FlowTable, scratch: &mut Scratch) {
    let forward = scratch.flow;
    scratch.flow.to = key.reversed();
    scratch.flow.flags = forward.flags.without(FlowFlags::FORWARD.with(CLOSING));
    scratch.flow.hop = NextHop::NONE;
    let _ = env.insert_flow(table, &scratch.reply, &scratch.flow);
    scratch.flow.to = scratch.reply.reversed();
    scratch.flow.flags = forward.flags;
    scratch.flow.hop = forward.hop;
}

/// Moves a flow whose client has answered the reply to the table of established ones.
#[inline(always)]
fn promote<E: Env>(env: &mut E, key: &Tuple, scratch: &mut Scratch) {
    let embryonic = FlowTable::embryonic(key.proto);
    let established = FlowTable::established(key.proto);
    let Some(entry) = env.flow(embryonic, &scratch.reply) else { return };
    scratch.flow = *entry;
    if !scratch.flow.flags.has(FlowFlags::ANSWERED) {
        return;
    }
    scratch.flow.flags = scratch.flow.flags.with(FlowFlags::ESTABLISHED);
    if env.insert_flow(established, &scratch.reply, &scratch.flow).is_err() {
        return;
    }
    let Some(entry) = env.flow(embryonic, key) else { return };
    scratch.flow = *entry;
    scratch.flow.flags = scratch.flow.flags.with(FlowFlags::ESTABLISHED);
    if env.insert_flow(established, key, &scratch.flow).is_err() {
        env.remove_flow(established, &scratch.reply);
        return;
    }
    env.remove_flow(embryonic, key);
    env.remove_flow(embryonic, &scratch.reply);
}

#[inline(always)]
fn deliver<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, hit: &Hit) -> Option<Verdict> {
    let forward = hit.flags.has(FlowFlags::FORWARD);
    let reason = if forward { Reason::Forward } else { Reason::Reply };
    let redirected = hit.flags.has(FlowFlags::MASQUERADE) || (forward && hit.flags.has(FlowFlags::FROM_NODE));
    if !redirected {
        return Some(Verdict { reason, path: Path::Stack, to: hit.to });
    }
    let epoch = env.config()?.epoch;
    let mut hop = hit.hop;
    if hop.device == 0 || hop.epoch != epoch {
        let query = RouteQuery { src: hit.to.src, dst: hit.to.dst, device: place.device };
        match env.route(&query) {
            Some(route) => hop = route.hop,
            None => return Some(place.refuse(parsed, Reason::NoRoute)),
        }
        if let Some(entry) = env.flow(hit.table, &parsed.tuple) {
            entry.hop = hop;
        }
    }
    if !place.reaches(env, &hop) {
        return Some(place.refuse(parsed, Reason::Deferred));
    }
    Some(place.send_out(parsed, reason, hit.to, hop))
}

/// Removes a flow: the client's key and the reply's.
#[inline(always)]
pub(super) fn remove_pair<E: Env>(env: &mut E, key: &Tuple, reply: &Tuple) {
    for table in [FlowTable::established(key.proto), FlowTable::embryonic(key.proto)] {
        env.remove_flow(table, key);
        env.remove_flow(table, reply);
    }
}

/// Whether a flow is over, given its reply entry's flags and its client's key.
#[inline(always)]
pub(super) fn is_over<E: Env>(env: &mut E, table: FlowTable, reply: FlowFlags, client: &Tuple) -> bool {
    match env.flow(table, client).map(|entry| entry.flags) {
        None => true,
        Some(flags) => flags.with(reply).has(FlowFlags::RST) || (flags.has(FlowFlags::FIN) && reply.has(FlowFlags::FIN)),
    }
}

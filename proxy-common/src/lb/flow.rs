//! Known flows: an established flow is never judged again.
//!
//! A flow has two entries, the client's and the reply's, each written by packets of its own direction alone. A live entry is
//! never overwritten: entries are made with *no exist*, reply first, and move between tables by insert first, delete second.

use super::packet::{Place, Verdict};
use super::select::serves;
use super::{Class, Env, FlowTable};
use crate::abi::{Flow, FlowFlags, NextHop, Reason, Scratch, Tuple};
use crate::packet::Parsed;

/// How often a client's packets look whether the reply's entry is in place, in milliseconds: so long may replies go astray
/// after an eviction.
const CHECK_INTERVAL: u32 = 1_000;

const CLOSING: FlowFlags = FlowFlags::FIN.with(FlowFlags::RST);

/// The verdict on a packet of a known flow; `None` if there is no flow, or one that must start anew.
#[inline(always)]
pub fn follow<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, class: Class, scratch: &mut Scratch) -> Option<Verdict> {
    let (found, table) = find(env, place, &parsed.tuple, class)?;
    let now = env.now();
    let entry = env.entry(found);
    let check_due = touch(entry, parsed, now);
    let flags = entry.flags;
    let hit = Hit { table, flags };
    scratch.to = entry.to;
    scratch.hop = entry.hop;
    if flags.has(FlowFlags::FORWARD) && (check_due || needs_care(parsed, &hit)) && !tend(env, parsed, table, scratch) {
        return None;
    }
    if parsed.tcp.accepts() && !flags.has(FlowFlags::FORWARD) && accepts_another(env, &parsed.tuple, &hit, scratch) {
        return None;
    }
    Some(deliver(env, place, parsed, &hit, scratch))
}

/// The entry that a packet met.
struct Hit {
    table: FlowTable,
    flags: FlowFlags,
}

/// Whether the backend accepts a connection that is not this flow: its client has dialled the backend itself, from the port of
/// a flow that is over. That flow is gone then.
#[inline(never)]
fn accepts_another<E: Env>(env: &mut E, key: &Tuple, hit: &Hit, scratch: &mut Scratch) -> bool {
    scratch.to.reverse_into(&mut scratch.reply);
    if !hit.flags.any(CLOSING.with(FlowFlags::ESTABLISHED)) || !is_over(env, hit.table, hit.flags, &scratch.reply) {
        return false;
    }
    remove_pair(env, hit.table.class(), &scratch.reply, key);
    true
}

/// Finds the packet's entry. A flow may move from the second table to the first between two look-ups, so the first is asked
/// again.
#[inline(always)]
fn find<E: Env>(env: &mut E, place: &Place, key: &Tuple, class: Class) -> Option<(E::Entry, FlowTable)> {
    let (established, embryonic) = (class.established(), class.embryonic());
    find_in(env, place, key, established)
        .or_else(|| find_in(env, place, key, embryonic))
        .or_else(|| find_in(env, place, key, established))
}

#[inline(always)]
fn find_in<E: Env>(env: &mut E, place: &Place, key: &Tuple, table: FlowTable) -> Option<(E::Entry, FlowTable)> {
    let entry = env.find_flow(table, key)?;
    place.sees(env.entry(entry).flags).then_some((entry, table))
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
    parsed.tcp.opens() || hit.table.class() != Class::Tcp || !hit.flags.has(FlowFlags::ESTABLISHED)
}

/// Sees to the flow of a client's packet: moves it once answered, restores its reply entry. `false` if the packet begins a new
/// flow on the same tuple; the old one is gone then.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
fn tend<E: Env>(env: &mut E, parsed: &Parsed, table: FlowTable, scratch: &mut Scratch) -> bool {
    let key = &parsed.tuple;
    let Some(entry) = env.flow(table, key) else { return false };
    scratch.flow = *entry;
    scratch.flow.to.reverse_into(&mut scratch.reply);
    let opens = parsed.tcp.opens();
    if !continues(env, key, opens, table, scratch) {
        remove_own(env, table.class(), key, &scratch.reply);
        return false;
    }
    if !scratch.flow.flags.has(FlowFlags::ESTABLISHED) && !opens {
        promote(env, key, table.class(), scratch);
    }
    true
}

/// Whether the client's packet belongs to this flow still, rather than to a new one on the same tuple.
#[inline(always)]
fn continues<E: Env>(env: &mut E, key: &Tuple, opens: bool, table: FlowTable, scratch: &mut Scratch) -> bool {
    let judged_anew = opens || table.class() != Class::Tcp;
    if judged_anew && !serves(env, scratch.flow.backend, scratch.flow.generation) {
        return false;
    }
    match reply_entry(env, key, table, &scratch.reply) {
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

/// The entry under the reply's key, in whichever table: its flags, and whether it is this flow's own.
#[inline(always)]
fn reply_entry<E: Env>(env: &mut E, key: &Tuple, table: FlowTable, reply: &Tuple) -> Option<(FlowFlags, bool)> {
    let class = table.class();
    let other = if table == class.established() { class.embryonic() } else { class.established() };
    let found = match env.find_flow(table, reply) {
        Some(found) => found,
        None => env.find_flow(other, reply)?,
    };
    let entry = env.entry(found);
    Some((entry.flags, entry.to == key.reversed()))
}

/// Puts an evicted reply entry back.
#[inline(always)]
fn restore_reply<E: Env>(env: &mut E, key: &Tuple, table: FlowTable, scratch: &mut Scratch) {
    let forward = scratch.flow;
    key.reverse_into(&mut scratch.flow.to);
    scratch.flow.flags = forward.flags.without(FlowFlags::FORWARD.with(CLOSING));
    scratch.flow.hop = NextHop::NONE;
    let _ = env.insert_flow(table, &scratch.reply, &scratch.flow);
    scratch.reply.reverse_into(&mut scratch.flow.to);
    scratch.flow.flags = forward.flags;
    scratch.flow.hop = forward.hop;
}

/// Moves a flow whose client has answered the reply to the table of established ones.
#[inline(always)]
fn promote<E: Env>(env: &mut E, key: &Tuple, class: Class, scratch: &mut Scratch) {
    let (established, embryonic) = (class.established(), class.embryonic());
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
fn deliver<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, hit: &Hit, scratch: &mut Scratch) -> Verdict {
    let reason = if hit.flags.has(FlowFlags::FORWARD) { Reason::Forward } else { Reason::Reply };
    let redirected = hit.flags.redirects();
    if redirected {
        let epoch = env.config().map_or(0, |config| config.epoch);
        let is_old = scratch.hop.device == 0 || scratch.hop.epoch != epoch;
        if is_old && !renew_hop(env, place, hit, parsed, scratch) {
            return place.refuse(Reason::NoRoute);
        }
        if !place.reaches(env, &scratch.hop) {
            return place.refuse(Reason::Deferred);
        }
    }
    place.translate(parsed, reason, redirected)
}

/// Asks for the route again, since routes or neighbours have changed, and keeps the answer with the flow.
#[inline(always)]
fn renew_hop<E: Env>(env: &mut E, place: &Place, hit: &Hit, parsed: &Parsed, scratch: &mut Scratch) -> bool {
    if env.route((&scratch.to.src, &scratch.to.dst), place.device, &mut scratch.hop).is_none() {
        return false;
    }
    if let Some(entry) = env.flow(hit.table, &parsed.tuple) {
        entry.hop = scratch.hop;
    }
    true
}

/// Removes a flow: the client's entry, and the reply's unless another flow has taken it.
#[inline(always)]
fn remove_own<E: Env>(env: &mut E, class: Class, key: &Tuple, reply: &Tuple) {
    for table in [class.established(), class.embryonic()] {
        env.remove_flow(table, key);
        if env.flow(table, reply).is_some_and(|entry| entry.to == key.reversed()) {
            env.remove_flow(table, reply);
        }
    }
}

/// Removes a flow: the client's key and the reply's.
#[inline(always)]
pub(super) fn remove_pair<E: Env>(env: &mut E, class: Class, key: &Tuple, reply: &Tuple) {
    for table in [class.established(), class.embryonic()] {
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

//! Known flows: an established connection is never judged again; datagrams go on while their backend serves and what they dial is its
//! service's.
//!
//! A flow that is no connection has two entries, the client's and the reply's, each written by packets of its own direction alone. A live entry is
//! never overwritten: entries are made with *no exist*, reply first. A flow that found no room in its table stands in the spill
//! until its client answers the reply, and moves by insert first, delete second.

use super::packet::{Place, Verdict};
use super::select::serves;
use super::{Class, Env, FlowTable, InsertError, connection, frontend};
use crate::abi::{Flow, FlowFlags, FlowRoom, FrontendKey, NextHop, Reason, Scratch, ServiceId, Tuple};
use crate::packet::{Parsed, TcpFlags};

/// How often a client's packets look whether the reply's entry is in place, in milliseconds: so long may replies go astray
/// after an eviction.
const CHECK_INTERVAL: u32 = 1_000;

/// The verdict on a packet of a known flow; `None` if there is no flow, or one that must start anew.
#[inline(always)]
pub fn follow<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, class: Class, scratch: &mut Scratch) -> Option<Verdict> {
    // The filter of the flow tables is cheaper to ask than CONNECTIONS.
    let Some((found, table)) = find(env, place, &parsed.tuple, class) else {
        return if class == Class::Tcp { connection::follow(env, place, parsed, scratch) } else { None };
    };
    let now = env.now();
    let entry = env.entry(found);
    let was_answered = entry.flags.has(FlowFlags::ANSWERED);
    let check_due = touch(entry, parsed, now);
    let flags = entry.flags;
    let hit = Hit { table, flags };
    scratch.to = entry.to;
    scratch.hop = entry.hop;
    if flags.has(FlowFlags::FORWARD) {
        if (check_due || needs_care(parsed, &hit)) && !tend(env, parsed, table, found, scratch) {
            return None;
        }
    } else if was_answered && parsed.tcp.accepts() && accepts_another(env, &parsed.tuple, &hit, scratch) {
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
    let class = hit.table.class();
    scratch.to.reverse_into(&mut scratch.reply);
    if !is_over(env, class, hit.flags, &scratch.reply) {
        return false;
    }
    remove_pair(env, class, &scratch.reply, key);
    true
}

/// Finds the packet's entry. A flow may move from the spill to the table between two look-ups, so the table is asked again.
#[inline(always)]
fn find<E: Env>(env: &mut E, place: &Place, key: &Tuple, class: Class) -> Option<(E::Entry, FlowTable)> {
    if !env.may_hold(key) {
        return None;
    }
    let found = find_in(env, place, key, class.table());
    if found.is_some() || !spills(env, class) {
        return found;
    }
    find_in(env, place, key, class.spill()).or_else(|| find_in(env, place, key, class.table()))
}

#[inline(always)]
fn find_in<E: Env>(env: &mut E, place: &Place, key: &Tuple, table: FlowTable) -> Option<(E::Entry, FlowTable)> {
    let entry = env.find_flow(table, key)?;
    place.sees(env.entry(entry).flags).then_some((entry, table))
}

/// Whether flows of the class may stand in the spill.
#[inline(always)]
pub(super) fn spills<E: Env>(env: &E, class: Class) -> bool {
    env.room(class).is_some_and(FlowRoom::spills)
}

/// Whether an entry that is not in `table` may be in the class's other one.
#[inline(always)]
pub(super) fn has_other<E: Env>(env: &E, table: FlowTable) -> bool {
    table.is_spill() || spills(env, table.class())
}

/// Notes a packet in its entry, and says whether it is time to look for the other one.
#[inline(always)]
fn touch(entry: &mut Flow, parsed: &Parsed, now: u32) -> bool {
    note_packet(&mut entry.seen, &mut entry.flags, FlowFlags::ANSWERED.with(ends(parsed.tcp)), now);
    let check_due = now.wrapping_sub(entry.checked) >= CHECK_INTERVAL;
    if check_due {
        entry.checked = now;
    }
    check_due
}

/// Notes a packet's time, and what it says. Memory that other CPUs read is written only if it changes.
#[inline(always)]
pub(super) fn note_packet(seen: &mut u32, flags: &mut FlowFlags, says: FlowFlags, now: u32) {
    if *seen != now {
        *seen = now;
    }
    let said = flags.with(says);
    if *flags != said {
        *flags = said;
    }
}

/// What a segment says of its sender's direction.
#[inline(always)]
pub(super) fn ends(tcp: TcpFlags) -> FlowFlags {
    let mut flags = FlowFlags::default();
    if tcp.is_fin() {
        flags = flags.with(FlowFlags::FIN);
    }
    if tcp.is_rst() {
        flags = flags.with(FlowFlags::RST);
    }
    flags
}

/// Whether a client's packet is more than the next one of an established connection.
#[inline(always)]
fn needs_care(parsed: &Parsed, hit: &Hit) -> bool {
    parsed.tcp.opens() || hit.table.class() != Class::Tcp || !hit.flags.has(FlowFlags::ESTABLISHED)
}

/// Sees to the flow of a client's packet: establishes it once answered, restores its reply entry. `false` if the packet begins a
/// new flow on the same tuple; the old one is gone then.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
fn tend<E: Env>(env: &mut E, parsed: &Parsed, table: FlowTable, found: E::Entry, scratch: &mut Scratch) -> bool {
    let key = &parsed.tuple;
    scratch.flow = *env.entry(found);
    scratch.flow.to.reverse_into(&mut scratch.reply);
    let opens = parsed.tcp.opens();
    let reply = reply_entry(env, key, table, &scratch.reply);
    // Where the reply's entry was evicted, a connection may have taken its tuple.
    let is_lost = reply.is_none() && connection::holds_reply(env, table, scratch);
    if is_lost || !continues(env, key, opens, table, reply, scratch) {
        remove_own(env, table.class(), key, &scratch.reply);
        return false;
    }
    match reply {
        None => restore_reply(env, key, table, scratch),
        Some((flags, _)) if flags.has(FlowFlags::ANSWERED) && !opens && is_unsettled(table, scratch.flow.flags) => {
            settle(env, key, table, found, scratch);
        }
        Some(_) => {}
    }
    true
}

/// Whether an answered flow has still to become established, or to find room in the table.
#[inline(always)]
const fn is_unsettled(table: FlowTable, client: FlowFlags) -> bool {
    table.is_spill() || !client.has(FlowFlags::ESTABLISHED)
}

/// Whether the client's packet belongs to this flow still, rather than to a new one on the same tuple; `reply` is what stands
/// under the reply's key. A connection outlives what it was opened through; datagrams follow what is dialled now (S13).
#[inline(always)]
fn continues<E: Env>(
    env: &E,
    key: &Tuple,
    opens: bool,
    table: FlowTable,
    reply: Option<(FlowFlags, bool)>,
    scratch: &Scratch,
) -> bool {
    let connected = table.class() == Class::Tcp;
    if (opens || !connected) && !serves(env, scratch.flow.backend, scratch.flow.generation) {
        return false;
    }
    if !connected && !leads_to(env, key, scratch.flow.service) {
        return false;
    }
    let (flags, own) = reply.unwrap_or((FlowFlags::default(), true));
    own && !(opens && flags.with(scratch.flow.flags).any(FlowFlags::CLOSING))
}

/// Whether what a packet dials is a frontend of this service.
#[inline(always)]
fn leads_to<E: Env>(env: &E, key: &Tuple, service: ServiceId) -> bool {
    let dialled = FrontendKey::new(key.dst, key.dport, key.proto);
    frontend::for_packet(env, dialled).is_some_and(|frontend| frontend.service == service)
}

/// The entry under the reply's key, in whichever table: its flags, and whether it is this flow's own.
#[inline(always)]
fn reply_entry<E: Env>(env: &mut E, key: &Tuple, table: FlowTable, reply: &Tuple) -> Option<(FlowFlags, bool)> {
    let found = match env.find_flow(table, reply) {
        Some(found) => found,
        None if has_other(env, table) => env.find_flow(table.other(), reply)?,
        None => return None,
    };
    let entry = env.entry(found);
    Some((entry.flags, entry.to == key.reversed()))
}

/// Puts an evicted reply entry back. Whether the backend has answered stood in that entry alone; that it did is known of an
/// established flow.
#[inline(always)]
fn restore_reply<E: Env>(env: &mut E, key: &Tuple, table: FlowTable, scratch: &mut Scratch) {
    let client = scratch.flow.flags;
    let mut flags = client.without(FlowFlags::FORWARD.with(FlowFlags::ESTABLISHED).with(FlowFlags::CLOSING));
    if !client.has(FlowFlags::ESTABLISHED) {
        flags = flags.without(FlowFlags::ANSWERED);
    }
    key.reverse_into(&mut scratch.flow.to);
    scratch.flow.flags = flags;
    scratch.flow.hop = NextHop::NONE;
    if env.insert_flow(table, &scratch.reply, &scratch.flow) == Err(InsertError::Full) && !table.is_spill() {
        let now = env.now();
        env.note_spill(table.class(), now);
        let _ = env.insert_flow(table.other(), &scratch.reply, &scratch.flow);
    }
}

/// Makes a flow whose client has answered the reply an established one, which has a place in the table for as long as it lives.
/// While the table is full it stays in the spill, and tries again.
#[inline(always)]
fn settle<E: Env>(env: &mut E, key: &Tuple, table: FlowTable, found: E::Entry, scratch: &mut Scratch) {
    if !table.is_spill() {
        let entry = env.entry(found);
        entry.flags = entry.flags.with(FlowFlags::ESTABLISHED);
        env.count_embryonic(table.class(), -1);
    } else if leave_spill(env, key, table, scratch) == Err(InsertError::Full)
        && let Some(entry) = env.flow(table, key)
    {
        entry.flags = entry.flags.with(FlowFlags::ESTABLISHED);
    }
}

/// Moves an established flow from the spill to the table.
///
/// # Errors
/// [`InsertError::Full`]: there is no room; [`InsertError::Exists`]: another CPU is moving it, or it is gone.
#[inline(always)]
fn leave_spill<E: Env>(env: &mut E, key: &Tuple, spill: FlowTable, scratch: &mut Scratch) -> Result<(), InsertError> {
    let table = spill.other();
    let Some(reply) = env.flow(spill, &scratch.reply) else { return Err(InsertError::Exists) };
    let (reply_flags, reply_seen) = (reply.flags, reply.seen);
    let (client, client_flags, hop) = (scratch.flow.to, scratch.flow.flags, scratch.flow.hop);
    key.reverse_into(&mut scratch.flow.to);
    (scratch.flow.flags, scratch.flow.hop) = (reply_flags, NextHop::NONE);
    let client_seen = core::mem::replace(&mut scratch.flow.seen, reply_seen);
    env.insert_flow(table, &scratch.reply, &scratch.flow)?;
    (scratch.flow.to, scratch.flow.flags, scratch.flow.hop) = (client, client_flags.with(FlowFlags::ESTABLISHED), hop);
    scratch.flow.seen = client_seen;
    if let Err(error) = env.insert_flow(table, key, &scratch.flow) {
        env.remove_flow(table, &scratch.reply);
        return Err(error);
    }
    env.remove_flow(spill, key);
    env.remove_flow(spill, &scratch.reply);
    Ok(())
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
        if !place.reaches(&scratch.hop) {
            return place.refuse(Reason::Deferred);
        }
    }
    place.translate(parsed, reason, redirected)
}

/// Asks for the route again, since routes, neighbours or devices may have changed, and keeps the answer with the flow.
#[inline(always)]
fn renew_hop<E: Env>(env: &mut E, place: &Place, hit: &Hit, parsed: &Parsed, scratch: &mut Scratch) -> bool {
    if place.route(env, (&scratch.to.src, &scratch.to.dst), &mut scratch.hop).is_none() {
        return false;
    }
    if let Some(entry) = env.flow(hit.table, &parsed.tuple) {
        entry.hop = scratch.hop;
    }
    true
}

/// Removes a flow: the client's entry, and the reply's unless another flow has taken it.
#[inline(always)]
pub(super) fn remove_own<E: Env>(env: &mut E, class: Class, key: &Tuple, reply: &Tuple) {
    remove_own_in(env, class.table(), key, reply);
    if spills(env, class) {
        remove_own_in(env, class.spill(), key, reply);
    }
}

#[inline(always)]
fn remove_own_in<E: Env>(env: &mut E, table: FlowTable, key: &Tuple, reply: &Tuple) {
    remove_client(env, table, key);
    if env.flow(table, reply).is_some_and(|entry| entry.to == key.reversed()) {
        env.remove_flow(table, reply);
    }
}

/// Removes a flow: the client's key and the reply's.
#[inline(always)]
pub(super) fn remove_pair<E: Env>(env: &mut E, class: Class, key: &Tuple, reply: &Tuple) {
    remove_client(env, class.table(), key);
    env.remove_flow(class.table(), reply);
    if spills(env, class) {
        env.remove_flow(class.spill(), key);
        env.remove_flow(class.spill(), reply);
    }
}

/// Removes a client's entry and gives back its place among the embryonic ones.
#[inline(always)]
fn remove_client<E: Env>(env: &mut E, table: FlowTable, key: &Tuple) {
    let Some(flags) = env.flow(table, key).map(|entry| entry.flags) else { return };
    env.remove_flow(table, key);
    if !table.is_spill() && flags.has(FlowFlags::FORWARD) && !flags.has(FlowFlags::ESTABLISHED) {
        env.count_embryonic(table.class(), -1);
    }
}

/// Whether a flow is over, given its reply entry's flags and its client's key.
#[inline(always)]
pub(super) fn is_over<E: Env>(env: &mut E, class: Class, reply: FlowFlags, client: &Tuple) -> bool {
    let mut flags = env.flow(class.table(), client).map(|entry| entry.flags);
    if flags.is_none() && spills(env, class) {
        // As in `find`: it may move between two look-ups.
        flags = env.flow(class.spill(), client).map(|entry| entry.flags);
        if flags.is_none() {
            flags = env.flow(class.table(), client).map(|entry| entry.flags);
        }
    }
    match flags {
        None => true,
        Some(client) => FlowFlags::are_over(client, reply),
    }
}

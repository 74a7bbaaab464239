//! Connections: TCP flows whose client keeps its address and port are one entry each, under the client's end, which packets of both
//! directions carry. A client's end has at most one. Everything else has two entries in the flow tables: flows of other kinds,
//! those to a second frontend from the same end, and what finds no place in CONNECTIONS.
//!
//! No connection and no flow hold the same reply's tuple: each is made first and looks for the other second, so that of two CPUs
//! one at least sees the other, unless both look within the nanoseconds that a store takes.

use super::flow::{ends, note_packet, remove_own, spills};
use super::packet::{Direction, Place, Verdict};
use super::select::serves;
use super::{Class, Env, FlowTable, InsertError};
use crate::abi::{Connection, End, FlowFlags, Reason, Scratch, Side, Tuple};
use crate::packet::Parsed;

/// The verdict on a packet of a connection; `None` if there is none, or one that must start anew.
#[inline(always)]
pub fn follow<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Option<Verdict> {
    match place.direction {
        Direction::Ingress if place.opens() => forward(env, place, parsed, scratch),
        Direction::Ingress => None,
        Direction::Egress => reply(env, place, parsed, scratch),
    }
}

#[inline(always)]
fn forward<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Option<Verdict> {
    let (tuple, now) = (&parsed.tuple, env.now());
    scratch.client = tuple.source();
    let held = env.connection(&scratch.client)?;
    if held.frontend != tuple.destination() {
        return None;
    }
    held.client.note(ends(parsed.tcp), now);
    scratch.to = *tuple;
    scratch.to.dst = held.target.addr;
    scratch.to.dport = held.target.port;
    if parsed.tcp.opens() {
        let (ended, backend, generation) = (held.is_closing(), held.backend, held.generation);
        if ended || !serves(env, backend, generation) {
            remove(env, &scratch.client);
            return None;
        }
    } else if held.is_embryonic() && held.reply.flags.has(FlowFlags::ANSWERED) {
        held.client.flags = held.client.flags.with(FlowFlags::ESTABLISHED);
        env.count_embryonic(Class::Tcp, -1);
    }
    Some(place.translate(parsed, Reason::Forward, false))
}

#[inline(always)]
fn reply<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Option<Verdict> {
    let (tuple, now) = (&parsed.tuple, env.now());
    scratch.client = tuple.destination();
    let held = env.connection(&scratch.client)?;
    if held.target != tuple.source() {
        return None;
    }
    let was_answered = held.reply.flags.has(FlowFlags::ANSWERED);
    held.reply.note(FlowFlags::ANSWERED.with(ends(parsed.tcp)), now);
    scratch.to = *tuple;
    scratch.to.src = held.frontend.addr;
    scratch.to.sport = held.frontend.port;
    // The client of a connection that is over has dialled the backend itself, from the same port.
    if was_answered && parsed.tcp.accepts() && held.is_over() {
        remove(env, &scratch.client);
        return None;
    }
    Some(place.translate(parsed, Reason::Reply, false))
}

/// Makes a connection of the flow that was chosen, unless the client's end, or the reply's tuple, is another's.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
pub fn open<E: Env>(env: &mut E, tuple: &Tuple, scratch: &mut Scratch) -> bool {
    scratch.client = tuple.source();
    let (frontend, target) = (tuple.destination(), scratch.to.destination());
    let side = Side { flags: FlowFlags::default(), seen: env.now() };
    let (service, backend, generation) = (scratch.flow.service, scratch.flow.backend, scratch.flow.generation);
    scratch.connection = Connection { frontend, target, service, backend, generation, client: side, reply: side };
    match env.insert_connection(&scratch.client, &scratch.connection) {
        Ok(()) if collides(env, tuple, scratch) => {
            env.remove_connection(&scratch.client);
            false
        }
        Ok(()) => {
            env.note_answers(&scratch.connection.target.addr);
            env.count_connection(scratch.connection.service);
            env.count_embryonic(Class::Tcp, 1);
            true
        }
        Err(InsertError::Exists) => adopt(env, tuple, scratch),
        Err(InsertError::Full) => false,
    }
}

/// Takes over what another CPU has made of the same packet; `false` if none has.
#[inline(always)]
pub(super) fn adopt<E: Env>(env: &mut E, tuple: &Tuple, scratch: &mut Scratch) -> bool {
    scratch.client = tuple.source();
    let Some(held) = env.connection(&scratch.client) else { return false };
    if held.frontend != tuple.destination() || held.is_closing() {
        return false;
    }
    scratch.to = *tuple;
    scratch.to.dst = held.target.addr;
    scratch.to.dport = held.target.port;
    scratch.flow.flags = FlowFlags::default();
    true
}

/// Whether a flow holds the tuple of the new connection's replies. A flow that another CPU has made of the same packet gives way.
#[inline(always)]
fn collides<E: Env>(env: &mut E, tuple: &Tuple, scratch: &mut Scratch) -> bool {
    scratch.to.reverse_into(&mut scratch.reply);
    if !env.may_hold(tuple) && !env.may_hold(&scratch.reply) {
        return false;
    }
    if !remove_twin(env, tuple, scratch) {
        return true;
    }
    let table = Class::Tcp.table();
    env.find_flow(table, &scratch.reply).is_some()
        || (spills(env, Class::Tcp) && env.find_flow(table.other(), &scratch.reply).is_some())
}

/// Removes the flow that another CPU has made of the same packet. `false` if what stands there is another's: a reply's, or that
/// of a process of this node, for which the packet's sender gives itself out.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
fn remove_twin<E: Env>(env: &mut E, tuple: &Tuple, scratch: &mut Scratch) -> bool {
    for table in [Class::Tcp.table(), Class::Tcp.spill()] {
        if let Some(twin) = env.flow(table, tuple) {
            if !twin.flags.has(FlowFlags::FORWARD) || twin.flags.has(FlowFlags::FROM_NODE) {
                return false;
            }
            twin.to.reverse_into(&mut scratch.victim);
            remove_own(env, Class::Tcp, tuple, &scratch.victim);
        }
    }
    true
}

/// Whether a connection holds the tuple of the replies to a flow that is made in this table. Replies to masqueraded ones go to
/// this node, whose own processes have flows and no connection.
#[inline(always)]
pub(super) fn holds_reply<E: Env>(env: &mut E, table: FlowTable, scratch: &Scratch) -> bool {
    if table.class() != Class::Tcp || scratch.flow.flags.has(FlowFlags::MASQUERADE) {
        return false;
    }
    env.connection(&scratch.to.source()).is_some_and(|held| held.target == scratch.to.destination())
}

#[inline(always)]
fn remove<E: Env>(env: &mut E, client: &End) {
    let Some(embryonic) = env.connection(client).map(|held| held.is_embryonic()) else { return };
    env.remove_connection(client);
    if embryonic {
        env.count_embryonic(Class::Tcp, -1);
    }
}

impl Side {
    /// Notes a packet of this direction, and what it says.
    #[inline(always)]
    fn note(&mut self, says: FlowFlags, now: u32) {
        note_packet(&mut self.seen, &mut self.flags, says, now);
    }
}

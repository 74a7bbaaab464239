//! Source ports: a tuple towards a backend that no other flow and no connection holds.

use super::flow::{has_other, is_over, remove_pair};
use super::select::scale;
use super::{Env, FlowTable, InsertError, Step, connection};
use crate::abi::{Config, Port, Reason, Scratch};

/// How many ports are tried: half at random, which finds one at once while there are many, half onward from a cursor, which
/// finds the last ones.
const TRIES: u32 = 32;

/// The search for a port, one try a turn.
struct Search<'a> {
    scratch: &'a mut Scratch,
    table: FlowTable,
    outcome: Outcome,
}

/// How far a search has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Every port tried so far is in use.
    InUse,
    /// A port is taken.
    Taken,
    /// No port can be taken, for this reason.
    Failed(Reason),
}

/// Finds a free source port for `scratch.to` and takes it by inserting the reply's entry `scratch.flow` under `scratch.reply`
/// into `table`.
/// If there is none, the flow among those met that has been over for longest makes room.
///
/// # Errors
/// [`Reason::PortsExhausted`] if all that were tried are in use, [`Reason::FlowTableFull`].
#[inline(always)]
pub fn claim<E: Env>(env: &mut E, table: FlowTable, scratch: &mut Scratch) -> Result<(), Reason> {
    scratch.victim_port = Scratch::NO_VICTIM;
    let mut search = Search { scratch, table, outcome: Outcome::InUse };
    env.repeat(TRIES, &mut search);
    match search.outcome {
        Outcome::Taken => Ok(()),
        Outcome::Failed(reason) => Err(reason),
        Outcome::InUse => replace_victim(env, table, scratch),
    }
}

impl Step for Search<'_> {
    #[inline(always)]
    fn step<E: Env>(&mut self, env: &mut E, turn: u32) -> bool {
        self.outcome = attempt(env, self.table, self.scratch, turn < TRIES / 2);
        self.outcome != Outcome::InUse
    }
}

/// Tries one port.
#[inline(always)]
fn attempt<E: Env>(env: &mut E, table: FlowTable, scratch: &mut Scratch, uniform: bool) -> Outcome {
    let number = if uniform { env.random() } else { env.next_cursor() };
    let Some(config) = env.config() else { return Outcome::Failed(Reason::PortsExhausted) };
    let check_sockets = config.check_sockets != 0;
    let Some(port) = port_at(config, number, uniform) else { return Outcome::Failed(Reason::PortsExhausted) };
    scratch.to.sport = port;
    if check_sockets && env.has_socket(&scratch.to) {
        return Outcome::InUse;
    }
    scratch.to.reverse_into(&mut scratch.reply);
    match env.insert_flow(table, &scratch.reply, &scratch.flow) {
        // Only after the insert: of two CPUs that take the port in two tables, one at least sees the other.
        Ok(())
            if connection::holds_reply(env, table, scratch)
                || (has_other(env, table) && note_holder(env, table.other(), scratch)) =>
        {
            env.remove_flow(table, &scratch.reply);
            Outcome::InUse
        }
        Ok(()) => Outcome::Taken,
        Err(InsertError::Full) => Outcome::Failed(Reason::FlowTableFull),
        Err(InsertError::Exists) => {
            note_holder(env, table, scratch);
            Outcome::InUse
        }
    }
}

#[inline(always)]
fn replace_victim<E: Env>(env: &mut E, table: FlowTable, scratch: &mut Scratch) -> Result<(), Reason> {
    if scratch.victim_port == Scratch::NO_VICTIM {
        return Err(Reason::PortsExhausted);
    }
    scratch.to.sport = Port::from_wire(scratch.victim_port as u16);
    scratch.to.reverse_into(&mut scratch.reply);
    remove_pair(env, table.class(), &scratch.victim, &scratch.reply);
    match env.insert_flow(table, &scratch.reply, &scratch.flow) {
        Ok(()) if connection::holds_reply(env, table, scratch) => {
            env.remove_flow(table, &scratch.reply);
            Err(Reason::PortsExhausted)
        }
        Ok(()) => Ok(()),
        Err(InsertError::Exists) => Err(Reason::PortsExhausted),
        Err(InsertError::Full) => Err(Reason::FlowTableFull),
    }
}

/// Whether a flow holds the tuple in this table. One that is over for longer than those met so far becomes the victim.
#[inline(always)]
fn note_holder<E: Env>(env: &mut E, table: FlowTable, scratch: &mut Scratch) -> bool {
    let Some(holder) = env.flow(table, &scratch.reply) else { return false };
    let (flags, seen) = (holder.flags, holder.seen);
    let client = holder.to.reversed();
    if !is_over(env, table.class(), flags, &client) {
        return true;
    }
    let known = scratch.victim_port != Scratch::NO_VICTIM;
    let now = env.now();
    if !known || now.wrapping_sub(seen) > now.wrapping_sub(scratch.victim_seen) {
        scratch.victim = client;
        scratch.victim_seen = seen;
        scratch.victim_port = u32::from(scratch.to.sport.to_wire());
    }
    true
}

/// The port that a number stands for: scaled if the number is uniform over 32 bits, else counted through the ranges.
#[inline(always)]
fn port_at(config: &Config, number: u32, uniform: bool) -> Option<Port> {
    let count = config.port_count;
    if count == 0 {
        return None;
    }
    let mut index = if uniform { scale(number, count) } else { number % count };
    for range in &config.ports {
        let length = u32::from(range.count);
        if index < length {
            return Some(Port::new(range.first.wrapping_add(index as u16)));
        }
        index -= length;
    }
    None
}

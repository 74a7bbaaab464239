//! Source ports: a tuple towards a backend that no other flow holds.

use super::flow::{is_over, remove_pair};
use super::select::scale;
use super::{Env, FlowTable, InsertError};
use crate::abi::{Config, Port, Reason, Scratch};

/// How many ports are tried: half at random, which finds one at once while there are many, half onward from a cursor, which
/// finds the last ones.
const TRIES: u32 = 32;

/// What became of a try.
enum Try {
    Taken,
    InUse,
}

/// Finds a free source port for `scratch.to` and takes it by inserting the reply's entry `scratch.flow` under `scratch.reply`.
/// If there is none, the flow among those met that has been over for longest makes room.
///
/// # Errors
/// [`Reason::PortsExhausted`] if all that were tried are in use, [`Reason::FlowTableFull`].
#[inline(always)]
pub fn claim<E: Env>(env: &mut E, scratch: &mut Scratch) -> Result<(), Reason> {
    scratch.victim_port = Scratch::NO_VICTIM;
    for attempt in 0..TRIES {
        let uniform = attempt < TRIES / 2;
        let number = if uniform { env.random() } else { env.next_cursor() };
        let config = env.config().ok_or(Reason::PortsExhausted)?;
        let check_sockets = config.check_sockets != 0;
        scratch.to.sport = port_at(config, number, uniform).ok_or(Reason::PortsExhausted)?;
        if check_sockets && env.has_socket(&scratch.to) {
            continue;
        }
        if let Try::Taken = attempt_port(env, scratch)? {
            return Ok(());
        }
    }
    replace_victim(env, scratch)
}

#[inline(always)]
fn replace_victim<E: Env>(env: &mut E, scratch: &mut Scratch) -> Result<(), Reason> {
    if scratch.victim_port == Scratch::NO_VICTIM {
        return Err(Reason::PortsExhausted);
    }
    scratch.to.sport = Port::from_wire(scratch.victim_port as u16);
    scratch.reply = scratch.to.reversed();
    remove_pair(env, &scratch.victim, &scratch.reply);
    match env.insert_flow(FlowTable::embryonic(scratch.to.proto), &scratch.reply, &scratch.flow) {
        Ok(()) => Ok(()),
        Err(InsertError::Exists) => Err(Reason::PortsExhausted),
        Err(InsertError::Full) => Err(Reason::FlowTableFull),
    }
}

/// Tries to take the tuple as it stands; remembers its holder if that is over.
#[inline(always)]
fn attempt_port<E: Env>(env: &mut E, scratch: &mut Scratch) -> Result<Try, Reason> {
    scratch.reply = scratch.to.reversed();
    let established = FlowTable::established(scratch.to.proto);
    let embryonic = FlowTable::embryonic(scratch.to.proto);
    if note_holder(env, established, scratch) {
        return Ok(Try::InUse);
    }
    match env.insert_flow(embryonic, &scratch.reply, &scratch.flow) {
        Ok(()) => Ok(Try::Taken),
        Err(InsertError::Full) => Err(Reason::FlowTableFull),
        Err(InsertError::Exists) => {
            note_holder(env, embryonic, scratch);
            Ok(Try::InUse)
        }
    }
}

/// Whether a flow holds the tuple in this table. One that is over for longer than those met so far becomes the victim.
#[inline(always)]
fn note_holder<E: Env>(env: &mut E, table: FlowTable, scratch: &mut Scratch) -> bool {
    let Some(holder) = env.flow(table, &scratch.reply) else { return false };
    let (flags, seen) = (holder.flags, holder.seen);
    let client = holder.to.reversed();
    if !is_over(env, table, flags, &client) {
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

//! Source ports: a tuple towards a backend that no other flow holds.

use super::flow::{closed_since, remove_pair};
use super::select::scale;
use super::{Env, FlowTable, InsertError};
use crate::abi::{Config, Flow, Port, Reason, Tuple};

/// How many ports are tried: half at random, which finds one at once while there are many, half onward from a cursor, which
/// finds the last ones.
const TRIES: u32 = 32;

/// The flow that has been over for longest among those met, as its reply entry says.
struct Oldest {
    port: Port,
    client: Tuple,
    age: u32,
}

/// Finds a free source port for `to` and takes it by inserting the reply's entry `reply`. On success `to` has the port.
///
/// # Errors
/// [`Reason::PortsExhausted`] if all that were tried are in use, [`Reason::FlowTableFull`].
#[inline(always)]
pub fn claim<E: Env>(env: &mut E, to: &mut Tuple, reply: &Flow) -> Result<(), Reason> {
    let now = env.now();
    let mut oldest: Option<Oldest> = None;
    for attempt in 0..TRIES {
        let number = if attempt < TRIES / 2 { env.random() } else { env.next_cursor() };
        let Some(port) = env.config().and_then(|config| port_at(config, number, attempt < TRIES / 2)) else {
            return Err(Reason::PortsExhausted);
        };
        to.sport = port;
        if env.config().is_some_and(|config| config.check_sockets != 0) && env.has_socket(to) {
            continue;
        }
        match take(env, to, reply)? {
            None => return Ok(()),
            Some(closed) => {
                let Some((client, since)) = closed else { continue };
                let age = now.wrapping_sub(since);
                if oldest.as_ref().is_none_or(|known| age > known.age) {
                    oldest = Some(Oldest { port, client, age });
                }
            }
        }
    }
    let Some(oldest) = oldest else { return Err(Reason::PortsExhausted) };
    to.sport = oldest.port;
    remove_pair(env, &oldest.client, to);
    insert(env, to, reply).map_err(|error| match error {
        InsertError::Exists => Reason::PortsExhausted,
        InsertError::Full => Reason::FlowTableFull,
    })
}

/// Tries to take a tuple. `Ok(None)`: taken. Otherwise it belongs to a flow, and if that flow is over: its client's key and
/// when it was last seen.
#[inline(always)]
fn take<E: Env>(env: &mut E, to: &Tuple, reply: &Flow) -> Result<Option<Option<(Tuple, u32)>>, Reason> {
    let key = to.reversed();
    let established = FlowTable::established(to.proto);
    if let Some(holder) = env.flow(established, &key).map(|entry| *entry) {
        return Ok(Some(closed(env, established, &holder)));
    }
    match insert(env, to, reply) {
        Ok(()) => Ok(None),
        Err(InsertError::Full) => Err(Reason::FlowTableFull),
        Err(InsertError::Exists) => {
            let embryonic = FlowTable::embryonic(to.proto);
            let holder = env.flow(embryonic, &key).map(|entry| *entry);
            Ok(Some(holder.and_then(|holder| closed(env, embryonic, &holder))))
        }
    }
}

#[inline(always)]
fn closed<E: Env>(env: &mut E, table: FlowTable, holder: &Flow) -> Option<(Tuple, u32)> {
    closed_since(env, table, holder).map(|since| (holder.to.reversed(), since))
}

#[inline(always)]
fn insert<E: Env>(env: &mut E, to: &Tuple, reply: &Flow) -> Result<(), InsertError> {
    env.insert_flow(FlowTable::embryonic(to.proto), &to.reversed(), reply)
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

//! New flows: a first packet to a frontend chooses a backend, takes a tuple towards it, and leaves two entries.

use super::packet::Place;
use super::select::{Selected, select};
use super::{Env, FlowTable, InsertError, RouteQuery, frontend, snat};
use crate::abi::{
    Addr, AddressFlags, Backend, BackendId, Family, Flow, FlowFlags, Frontend, FrontendKey, FrontendKind, NextHop, Proto,
    Reason, Scratch, Tuple,
};
use crate::packet::Parsed;

/// Judges a packet of no known flow. If the reason is to translate, `scratch.flow` is the client's entry of the flow.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
pub fn open<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Reason {
    match try_open(env, place, parsed, scratch) {
        Ok(reason) | Err(reason) => reason,
    }
}

#[inline(always)]
fn try_open<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, scratch: &mut Scratch) -> Result<Reason, Reason> {
    let tuple = &parsed.tuple;
    let key = FrontendKey::new(tuple.dst, tuple.dport, tuple.proto);
    let frontend = frontend::for_packet(env, &key).ok_or(Reason::Untouched)?;
    if tuple.proto == Proto::TCP && !parsed.tcp.opens() {
        return Err(Reason::MidFlow);
    }
    match select(env, frontend.service) {
        Selected::Nothing => Err(Reason::Untouched),
        Selected::NoEndpoint => Err(Reason::NoEndpoint),
        Selected::Backend(id, backend) => establish(env, place, tuple, frontend, (id, &backend), scratch),
    }
}

#[inline(always)]
fn establish<E: Env>(
    env: &mut E,
    place: &Place,
    tuple: &Tuple,
    frontend: Frontend,
    (id, backend): (BackendId, &Backend),
    scratch: &mut Scratch,
) -> Result<Reason, Reason> {
    let flags = kind_of_flow(env, place, tuple, frontend.kind, backend)?;
    scratch.to = Tuple::new(tuple.src, tuple.sport, backend.addr, backend.port, tuple.proto);
    let hop = if flags == FlowFlags::default() { NextHop::NONE } else { find_way(env, place, tuple, flags, scratch)? };
    let now = env.now();
    scratch.flow = Flow {
        to: tuple.reversed(),
        service: frontend.service,
        backend: id,
        generation: backend.generation,
        flags,
        seen: now,
        checked: now,
        hop: NextHop::NONE,
    };
    let reason = take_tuple(env, scratch)?;
    scratch.flow.to = scratch.to;
    scratch.flow.flags = flags.with(FlowFlags::FORWARD);
    scratch.flow.hop = hop;
    let embryonic = FlowTable::embryonic(tuple.proto);
    match env.insert_flow(embryonic, tuple, &scratch.flow) {
        Ok(()) => env.count_connection(frontend.service),
        Err(error) => {
            env.remove_flow(embryonic, &scratch.reply);
            adopt_winner(env, embryonic, tuple, error, scratch)?;
        }
    }
    Ok(reason)
}

/// Another CPU opened the same flow at the same time: its choice stands.
#[inline(always)]
fn adopt_winner<E: Env>(
    env: &mut E,
    table: FlowTable,
    tuple: &Tuple,
    error: InsertError,
    scratch: &mut Scratch,
) -> Result<(), Reason> {
    match env.flow(table, tuple) {
        Some(winner) if error == InsertError::Exists => scratch.flow = *winner,
        _ => return Err(Reason::FlowTableFull),
    }
    Ok(())
}

#[inline(always)]
fn kind_of_flow<E: Env>(
    env: &E,
    place: &Place,
    tuple: &Tuple,
    kind: FrontendKind,
    backend: &Backend,
) -> Result<FlowFlags, Reason> {
    if place.made_here {
        return if backend.flags.is_local() { Err(Reason::LocalUnreachable) } else { Ok(FlowFlags::FROM_NODE) };
    }
    Ok(if masquerades(env, tuple, kind, backend) { FlowFlags::MASQUERADE } else { FlowFlags::default() })
}

/// Whether the source is translated too: where the reply would not find its way back (S30), where a detector says that the
/// client is no local pod (S29), and for a client that is its own backend (S36). Never towards an address of this node.
#[inline(always)]
fn masquerades<E: Env>(env: &E, tuple: &Tuple, kind: FrontendKind, backend: &Backend) -> bool {
    if env.address(&backend.addr).has(AddressFlags::LOCAL) {
        return false;
    }
    if tuple.src == backend.addr {
        return true;
    }
    if kind == FrontendKind::NODE_PORT {
        return !backend.flags.is_local();
    }
    let family = family_index(&tuple.src);
    env.config().is_some_and(|config| {
        let local_pods = &config.cluster_cidrs[family];
        local_pods.is_set() && !local_pods.contains(&tuple.src)
    })
}

/// Finds the next hop towards the backend, and for a masqueraded flow the source that goes with it.
#[inline(always)]
fn find_way<E: Env>(
    env: &mut E,
    place: &Place,
    tuple: &Tuple,
    flags: FlowFlags,
    scratch: &mut Scratch,
) -> Result<NextHop, Reason> {
    let query = RouteQuery { src: tuple.src, dst: scratch.to.dst, device: place.device };
    let route = env.route(&query).ok_or(Reason::NoRoute)?;
    if !place.reaches(env, &route.hop) {
        return Err(Reason::Deferred);
    }
    if flags.has(FlowFlags::MASQUERADE) {
        scratch.to.src = route.source.or_else(|| primary(env, &scratch.to.dst)).ok_or(Reason::NoRoute)?;
    }
    Ok(route.hop)
}

#[inline(always)]
fn primary<E: Env>(env: &E, addr: &Addr) -> Option<Addr> {
    let primary = env.config()?.primary[family_index(addr)];
    (primary != Addr::ANY_V6 && primary != Addr::ANY_V4).then_some(primary)
}

#[inline(always)]
fn family_index(addr: &Addr) -> usize {
    match addr.family() {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// Takes the tuple `scratch.to` for the reply entry `scratch.flow`: with the client's own port if the client's address stays
/// and no other flow holds it, else with another port.
#[inline(always)]
fn take_tuple<E: Env>(env: &mut E, scratch: &mut Scratch) -> Result<Reason, Reason> {
    if scratch.flow.flags.has(FlowFlags::MASQUERADE) {
        snat::claim(env, scratch)?;
        return Ok(Reason::Opened);
    }
    scratch.reply = scratch.to.reversed();
    let established = FlowTable::established(scratch.to.proto);
    let embryonic = FlowTable::embryonic(scratch.to.proto);
    // A reply entry of the same client and frontend is what an evicted flow left behind.
    for table in [established, embryonic] {
        let own = env.flow(table, &scratch.reply).is_some_and(|entry| entry.to == scratch.flow.to);
        if own {
            env.remove_flow(table, &scratch.reply);
        }
    }
    if env.flow(established, &scratch.reply).is_none() {
        match env.insert_flow(embryonic, &scratch.reply, &scratch.flow) {
            Ok(()) => return Ok(Reason::Opened),
            Err(InsertError::Full) => return Err(Reason::FlowTableFull),
            Err(InsertError::Exists) => {}
        }
    }
    snat::claim(env, scratch)?;
    Ok(Reason::PortExchanged)
}

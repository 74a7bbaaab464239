//! New flows: a first packet to a frontend chooses a backend, takes a tuple towards it, and leaves two entries.

use super::packet::{Place, Verdict};
use super::select::{Selected, select};
use super::{Env, FlowTable, InsertError, Path, RouteQuery, frontend, snat};
use crate::abi::{
    Addr, AddressFlags, Backend, BackendId, Family, Flow, FlowFlags, Frontend, FrontendKey, FrontendKind, NextHop, Proto,
    Reason, Tuple,
};
use crate::packet::Parsed;

/// The verdict on a packet of no known flow.
#[inline(always)]
pub fn open<E: Env>(env: &mut E, place: &Place, parsed: &Parsed) -> Verdict {
    match try_open(env, place, parsed) {
        Ok(verdict) => verdict,
        Err(reason) => place.refuse(parsed, reason),
    }
}

/// Where a new flow goes, before it has a tuple.
struct Way {
    flags: FlowFlags,
    source: Addr,
    hop: NextHop,
}

#[inline(always)]
fn try_open<E: Env>(env: &mut E, place: &Place, parsed: &Parsed) -> Result<Verdict, Reason> {
    let tuple = &parsed.tuple;
    if !place.opens() {
        return Err(Reason::Untouched);
    }
    let key = FrontendKey::new(tuple.dst, tuple.dport, tuple.proto);
    let frontend = frontend::for_packet(env, &key).ok_or(Reason::Untouched)?;
    if tuple.proto == Proto::TCP && !parsed.tcp.opens() {
        return Err(Reason::MidFlow);
    }
    match select(env, frontend.service) {
        Selected::Nothing => Err(Reason::Untouched),
        Selected::NoEndpoint => Err(Reason::NoEndpoint),
        Selected::Backend(id, backend) => establish(env, place, parsed, frontend, (id, &backend)),
    }
}

#[inline(always)]
fn establish<E: Env>(
    env: &mut E,
    place: &Place,
    parsed: &Parsed,
    frontend: Frontend,
    (id, backend): (BackendId, &Backend),
) -> Result<Verdict, Reason> {
    let tuple = &parsed.tuple;
    let way = find_way(env, place, tuple, frontend.kind, backend)?;
    let now = env.now();
    let mut to = Tuple::new(way.source, tuple.sport, backend.addr, backend.port, tuple.proto);
    let mut flow = Flow {
        to: tuple.reversed(),
        service: frontend.service,
        backend: id,
        generation: backend.generation,
        flags: way.flags,
        seen: now,
        checked: now,
        hop: NextHop::NONE,
    };
    let reason = take_tuple(env, &mut to, &flow)?;
    flow.to = to;
    flow.flags = way.flags.with(FlowFlags::FORWARD);
    flow.hop = way.hop;
    let embryonic = FlowTable::embryonic(tuple.proto);
    match env.insert_flow(embryonic, tuple, &flow) {
        Ok(()) => env.count_connection(frontend.service),
        Err(error) => {
            env.remove_flow(embryonic, &to.reversed());
            // Another CPU opened the same flow at the same time: its choice stands.
            let winner = env.flow(embryonic, tuple).map(|entry| *entry);
            flow = winner.filter(|_| error == InsertError::Exists).ok_or(Reason::FlowTableFull)?;
        }
    }
    if way.flags.any(REDIRECTED) {
        return Ok(place.send_out(parsed, reason, flow.to, flow.hop));
    }
    Ok(Verdict { reason, path: Path::Stack, to: flow.to })
}

const REDIRECTED: FlowFlags = FlowFlags::MASQUERADE.with(FlowFlags::FROM_NODE);

#[inline(always)]
fn find_way<E: Env>(env: &mut E, place: &Place, tuple: &Tuple, kind: FrontendKind, backend: &Backend) -> Result<Way, Reason> {
    let mut way = Way { flags: FlowFlags::default(), source: tuple.src, hop: NextHop::NONE };
    if place.made_here {
        if backend.flags.is_local() {
            return Err(Reason::LocalUnreachable);
        }
        way.flags = FlowFlags::FROM_NODE;
    } else if masquerades(env, tuple, kind, backend) {
        way.flags = FlowFlags::MASQUERADE;
    } else {
        return Ok(way);
    }
    let query = RouteQuery { src: tuple.src, dst: backend.addr, device: place.device };
    let route = env.route(&query).ok_or(Reason::NoRoute)?;
    if !place.reaches(env, &route.hop) {
        return Err(Reason::Deferred);
    }
    way.hop = route.hop;
    if way.flags.has(FlowFlags::MASQUERADE) {
        way.source = route.source.or_else(|| primary(env, &backend.addr)).ok_or(Reason::NoRoute)?;
    }
    Ok(way)
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

/// Takes the tuple towards the backend: with the client's own port if the client's address stays and no other flow holds it,
/// else with another port.
#[inline(always)]
fn take_tuple<E: Env>(env: &mut E, to: &mut Tuple, reply: &Flow) -> Result<Reason, Reason> {
    if reply.flags.has(FlowFlags::MASQUERADE) {
        snat::claim(env, to, reply)?;
        return Ok(Reason::Opened);
    }
    let key = to.reversed();
    let established = FlowTable::established(to.proto);
    let embryonic = FlowTable::embryonic(to.proto);
    // A reply entry of the same client and frontend is what an evicted flow left behind.
    for table in [established, embryonic] {
        if env.flow(table, &key).is_some_and(|entry| entry.to == reply.to) {
            env.remove_flow(table, &key);
        }
    }
    if env.flow(established, &key).is_none() {
        match env.insert_flow(embryonic, &key, reply) {
            Ok(()) => return Ok(Reason::Opened),
            Err(InsertError::Full) => return Err(Reason::FlowTableFull),
            Err(InsertError::Exists) => {}
        }
    }
    snat::claim(env, to, reply)?;
    Ok(Reason::PortExchanged)
}

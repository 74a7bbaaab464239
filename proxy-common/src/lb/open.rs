//! New flows: a first packet to a frontend chooses a backend, and becomes a connection, or takes a tuple towards the backend and leaves two entries.

use super::client::detects;
use super::flow::has_other;
use super::frontend::in_service_cidr;
use super::packet::Place;
use super::select::{Choice, Selected, select};
use super::{Class, Client, Env, FlowTable, Identity, InsertError, connection, frontend, snat};
use crate::abi::{
    Addr, AddressFlags, Flow, FlowFlags, FlowRoom, FrontendKey, FrontendKind, INTEREST_NODE, Masquerade, NextHop, Reason,
    Scratch, ServiceFlags, Tuple,
};
use crate::packet::Parsed;

/// Judges a packet of no known flow. If the reason is to translate, `scratch` holds what the flow will be: backend, kind,
/// destination, source address and next hop.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
pub fn choose<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, class: Class, scratch: &mut Scratch) -> Reason {
    match try_choose(env, place, parsed, class, scratch) {
        Ok(()) => Reason::Opened,
        Err(reason) => reason,
    }
}

#[inline(always)]
fn try_choose<E: Env>(env: &mut E, place: &Place, parsed: &Parsed, class: Class, scratch: &mut Scratch) -> Result<(), Reason> {
    let tuple = &parsed.tuple;
    let key = FrontendKey::new(tuple.dst, tuple.dport, tuple.proto);
    let continues = class == Class::Tcp && !parsed.tcp.opens();
    let frontend = match frontend::for_packet(env, key) {
        Some(_) if continues => return Err(Reason::MidFlow),
        Some(frontend) => frontend,
        None if continues || !is_unallocated(env, &tuple.dst) => return Err(Reason::Untouched),
        None => return Err(Reason::Unallocated),
    };
    let client = Client::of_packet(env, place, &tuple.src);
    let choice = match select(env, frontend, client, Identity::Address(&tuple.src), Some(tuple)) {
        Selected::Nothing => return Err(Reason::Untouched),
        Selected::Refused(reason) => return Err(reason),
        Selected::Backend(choice) => choice,
    };
    let Choice { id, backend, .. } = choice;
    scratch.to = *tuple;
    scratch.to.dst = backend.addr;
    scratch.to.dport = backend.port;
    scratch.hop = NextHop::NONE;
    let flags = kind_of_flow(env, client, tuple, frontend.kind, &choice)?;
    scratch.flow.service = frontend.service;
    scratch.flow.backend = id;
    scratch.flow.generation = backend.generation;
    scratch.flow.flags = flags;
    if flags == FlowFlags::default() { Ok(()) } else { find_way(env, place, tuple, flags, scratch) }
}

/// Opens the flow that was chosen: as a connection if its client keeps its address and port, else in the flow tables.
#[inline(always)]
pub fn open<E: Env>(env: &mut E, tuple: &Tuple, class: Class, scratch: &mut Scratch) -> Reason {
    let table = home(env, class);
    let keeps_client = scratch.flow.flags == FlowFlags::default();
    if table == FlowTable::Tcp && keeps_client && connection::open(env, tuple, scratch) {
        return Reason::Opened;
    }
    match establish(env, tuple, table, scratch) {
        Reason::FlowTableFull if !table.is_spill() => establish(env, tuple, table.other(), scratch),
        reason => reason,
    }
}

/// The table that takes a new flow: the class's own while it has room for embryonic ones, else the spill.
#[inline(always)]
fn home<E: Env>(env: &E, class: Class) -> FlowTable {
    if env.room(class).is_some_and(FlowRoom::takes) { class.table() } else { class.spill() }
}

/// Whether an address lies in a ServiceCIDR and is nobody's, this node's included (S26, S56).
#[inline(always)]
fn is_unallocated<E: Env>(env: &E, addr: &Addr) -> bool {
    in_service_cidr(env, addr) && !env.address(addr).has(AddressFlags::LOCAL)
}

/// Opens the flow that was chosen, in this table: takes a tuple towards the backend, the reply's entry first, and makes the
/// client's entry. After [`Reason::FlowTableFull`] it may be tried again in another table.
///
/// A function of its own, with a stack of its own.
#[inline(never)]
fn establish<E: Env>(env: &mut E, tuple: &Tuple, table: FlowTable, scratch: &mut Scratch) -> Reason {
    match try_establish(env, tuple, table, scratch) {
        Ok(reason) | Err(reason) => reason,
    }
}

#[inline(always)]
fn try_establish<E: Env>(env: &mut E, tuple: &Tuple, table: FlowTable, scratch: &mut Scratch) -> Result<Reason, Reason> {
    let (class, now) = (table.class(), env.now());
    scratch.to.sport = tuple.sport;
    let flow = &mut scratch.flow;
    tuple.reverse_into(&mut flow.to);
    flow.flags = flow.flags.without(FlowFlags::FORWARD);
    flow.seen = now;
    flow.checked = now;
    flow.hop = NextHop::NONE;
    if table.is_spill() {
        env.note_spill(class, now);
    }
    let reason = take_tuple(env, table, scratch)?;
    if scratch.flow.flags == FlowFlags::default() {
        env.note_answers(&scratch.to.dst);
    }
    scratch.flow.to = scratch.to;
    scratch.flow.flags = scratch.flow.flags.with(FlowFlags::FORWARD);
    scratch.flow.hop = scratch.hop;
    match env.insert_flow(table, tuple, &scratch.flow) {
        Ok(()) if yields(env, table, tuple, scratch) => {}
        Ok(()) => {
            env.count_connection(scratch.flow.service);
            if !table.is_spill() {
                env.count_embryonic(class, 1);
            }
        }
        Err(error) => adopt_winner(env, table, tuple, error, scratch)?,
    }
    Ok(reason)
}

/// Whether another CPU opened the same flow at the same time elsewhere, and its choice stands. A connection wins, then what
/// stands in the class's own table; the other's client entry goes.
#[inline(always)]
fn yields<E: Env>(env: &mut E, table: FlowTable, tuple: &Tuple, scratch: &mut Scratch) -> bool {
    if may_have_twin(table, scratch.flow.flags) && connection::adopt(env, tuple, scratch) {
        env.remove_flow(table, tuple);
        env.remove_flow(table, &scratch.reply);
        return true;
    }
    if !has_other(env, table) {
        return false;
    }
    let Some(other) = env.flow(table.other(), tuple) else { return false };
    if !table.is_spill() {
        env.remove_flow(table.other(), tuple);
        return false;
    }
    scratch.to = other.to;
    scratch.hop = other.hop;
    scratch.flow.flags = other.flags;
    env.remove_flow(table, tuple);
    env.remove_flow(table, &scratch.reply);
    true
}

/// Whether another CPU may have made a connection of the packet. If backends of two kinds were chosen, both are left: the client's
/// packets ask for the flow first, and the connection expires.
#[inline(always)]
fn may_have_twin(table: FlowTable, flags: FlowFlags) -> bool {
    table.class() == Class::Tcp && !flags.any(FlowFlags::MASQUERADE.with(FlowFlags::FROM_NODE))
}

/// Another CPU opened the same flow at the same time: its choice stands, and what this one made goes, unless both chose alike
/// and the winner's replies need it.
#[inline(always)]
fn adopt_winner<E: Env>(
    env: &mut E,
    table: FlowTable,
    tuple: &Tuple,
    error: InsertError,
    scratch: &mut Scratch,
) -> Result<(), Reason> {
    let mut chose_alike = false;
    let mut result = Err(Reason::FlowTableFull);
    if let Some(winner) = env.flow(table, tuple)
        && error == InsertError::Exists
    {
        chose_alike = winner.to == scratch.to;
        scratch.to = winner.to;
        scratch.hop = winner.hop;
        scratch.flow.flags = winner.flags;
        result = Ok(());
    }
    if !chose_alike {
        env.remove_flow(table, &scratch.reply);
    }
    result
}

#[inline(always)]
fn kind_of_flow<E: Env>(
    env: &E,
    client: Client,
    tuple: &Tuple,
    kind: FrontendKind,
    choice: &Choice,
) -> Result<FlowFlags, Reason> {
    if client == Client::Node {
        return if choice.backend.flags.is_local() { Err(Reason::LocalUnreachable) } else { Ok(FlowFlags::FROM_NODE) };
    }
    Ok(if masquerades(env, client, tuple, kind, choice) { FlowFlags::MASQUERADE } else { FlowFlags::default() })
}

/// Whether the source is translated too: where the reply would not find its way back or it is asked for (S30), where a detector says that the
/// client is no local pod (S29), and for a client that is its own backend (S36). Never towards an address of this node, and under
/// policy Local neither for a local pod (S31) nor because it is asked for (S33).
#[inline(always)]
fn masquerades<E: Env>(env: &E, client: Client, tuple: &Tuple, kind: FrontendKind, choice: &Choice) -> bool {
    let backend = &choice.backend;
    if env.interest(&backend.addr) & INTEREST_NODE != 0 && env.address(&backend.addr).has(AddressFlags::LOCAL) {
        return false;
    }
    if tuple.src == backend.addr {
        return true;
    }
    let asked = env.config().map_or(Masquerade::default(), |config| config.masquerade);
    if kind.is_external() {
        let policy_local = choice.flags.has(ServiceFlags::EXTERNAL_LOCAL);
        let kept = client == Client::LocalPod && policy_local;
        return !kept && (!backend.flags.is_local() || (asked.has(Masquerade::EXTERNAL) && !policy_local));
    }
    asked.has(Masquerade::ALL) || (client == Client::Stranger && detects(env, tuple.src.family()))
}

/// Finds the next hop towards the backend, and for a masqueraded flow the source that goes with it.
#[inline(always)]
fn find_way<E: Env>(env: &mut E, place: &Place, tuple: &Tuple, flags: FlowFlags, scratch: &mut Scratch) -> Result<(), Reason> {
    let source = place.route(env, (&tuple.src, &scratch.to.dst), &mut scratch.hop).ok_or(Reason::NoRoute)?;
    if !place.reaches(&scratch.hop) {
        return Err(Reason::Deferred);
    }
    if flags.has(FlowFlags::MASQUERADE) {
        scratch.to.src = source;
    }
    Ok(())
}

/// Takes the tuple `scratch.to` for the reply entry `scratch.flow`: with the client's own port if the client's address stays
/// and no other flow holds it, else with another port.
#[inline(always)]
fn take_tuple<E: Env>(env: &mut E, table: FlowTable, scratch: &mut Scratch) -> Result<Reason, Reason> {
    if !scratch.flow.flags.has(FlowFlags::MASQUERADE) {
        scratch.to.reverse_into(&mut scratch.reply);
        match take_own_port(env, table, scratch) {
            Ok(()) => return Ok(Reason::Opened),
            Err(InsertError::Full) => return Err(Reason::FlowTableFull),
            Err(InsertError::Exists) => {}
        }
    }
    let exchanged = !scratch.flow.flags.has(FlowFlags::MASQUERADE);
    snat::claim(env, table, scratch)?;
    Ok(if exchanged { Reason::PortExchanged } else { Reason::Opened })
}

/// Takes the reply's key as it is. A reply entry of the same client and frontend is what an evicted flow left behind, and makes
/// room.
#[inline(always)]
fn take_own_port<E: Env>(env: &mut E, table: FlowTable, scratch: &Scratch) -> Result<(), InsertError> {
    match env.insert_flow(table, &scratch.reply, &scratch.flow) {
        Err(InsertError::Exists) if vacate(env, table, scratch) => {
            env.insert_flow(table, &scratch.reply, &scratch.flow)?;
        }
        result => result?,
    }
    // Only after the insert: of two CPUs that take the tuple in two tables, one at least sees the other.
    if connection::holds_reply(env, table, scratch) || (has_other(env, table) && !vacate(env, table.other(), scratch)) {
        env.remove_flow(table, &scratch.reply);
        return Err(InsertError::Exists);
    }
    Ok(())
}

/// Whether no other flow holds the reply's key in this table; what an evicted flow left there goes.
#[inline(always)]
fn vacate<E: Env>(env: &mut E, table: FlowTable, scratch: &Scratch) -> bool {
    let from_node = scratch.flow.flags.has(FlowFlags::FROM_NODE);
    let is_own = |entry: &mut Flow| entry.to == scratch.flow.to && entry.flags.has(FlowFlags::FROM_NODE) == from_node;
    match env.flow(table, &scratch.reply).map(is_own) {
        None => true,
        Some(false) => false,
        Some(true) => {
            env.remove_flow(table, &scratch.reply);
            true
        }
    }
}

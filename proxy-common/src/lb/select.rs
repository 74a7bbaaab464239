//! Which backend serves: a random or the client's own choice (S20) in the set that the client gets, and whether a remembered one still does.

use super::source::admits;
use super::spread::spread;
use super::{Client, Env, Identity, Set};
use crate::abi::{
    Affinity, AffinityKey, Backend, BackendId, BackendState, Frontend, FrontendKind, Generation, Reason, ServiceFlags,
    SlotRange, Tuple,
};

/// What a selection yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selected {
    /// No descriptor is in force: there is no such service.
    Nothing,
    /// The client gets no backend, for this reason (S21, S22, S23, S24, S25).
    Refused(Reason),
    /// A backend.
    Backend(Choice),
}

/// The backend that was chosen, of a service with these flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Its id.
    pub id: BackendId,
    /// The backend.
    pub backend: Backend,
    /// The service's flags at that moment.
    pub flags: ServiceFlags,
}

/// Chooses a backend for a new connection. The service's word is loaded once, so the choice is of one table. A socket has no
/// packet, nor a port, yet.
#[inline(always)]
pub fn select<E: Env>(env: &mut E, frontend: Frontend, client: Client, identity: Identity, packet: Option<&Tuple>) -> Selected {
    if frontend.kind == FrontendKind::CLUSTER_REST {
        return Selected::Refused(Reason::UnknownPort);
    }
    let Some(index) = env.service(frontend.service).descriptor() else { return Selected::Nothing };
    let Some(descriptor) = env.descriptor(index) else { return Selected::Nothing };
    if !admits(env, frontend.kind, &descriptor, identity.source()) {
        return Selected::Refused(Reason::SourceRange);
    }
    let flags = descriptor.flags;
    let (range, member) = match client.set(frontend.kind, flags) {
        Set::Cluster => (descriptor.cluster, BackendState::IN_CLUSTER),
        Set::Local => (descriptor.local, BackendState::IN_LOCAL),
    };
    if range.count == 0 {
        return Selected::Refused(empty(flags));
    }
    let kept =
        if descriptor.affinity == 0 { None } else { keep(env, &identity.key(frontend.service), descriptor.affinity, member) };
    let id = match kept {
        Some(id) => id,
        None => match draw(env, range, flags, packet) {
            Some(id) => id,
            None => return Selected::Refused(Reason::NoEndpoint),
        },
    };
    let Some(backend) = env.backend(id) else { return Selected::Refused(Reason::NoEndpoint) };
    if descriptor.affinity != 0 {
        let value = Affinity { backend: id, generation: backend.generation, since: env.now() };
        env.set_affinity(&identity.key(frontend.service), &value);
    }
    Selected::Backend(Choice { id, backend, flags })
}

#[inline(always)]
fn draw<E: Env>(env: &mut E, range: SlotRange, flags: ServiceFlags, packet: Option<&Tuple>) -> Option<BackendId> {
    let place = match packet {
        Some(tuple) if flags.has(ServiceFlags::MAGLEV) => spread(tuple, range.count),
        _ => scale(env.random(), range.count),
    };
    env.slot(range.first.wrapping_add(place))
}

/// The backend of the client's last new connection, if that is not longer ago than `milliseconds` and the backend is in the set
/// (S43).
#[inline(always)]
fn keep<E: Env>(env: &E, key: &AffinityKey, milliseconds: u32, member: BackendState) -> Option<BackendId> {
    let held = env.affinity(key)?;
    let fresh = env.now().wrapping_sub(held.since) <= milliseconds;
    let same = env.backend(held.backend).is_some_and(|backend| backend.generation == held.generation);
    (fresh && same && env.backend_state(held.backend).has(member)).then_some(held.backend)
}

/// What an empty set means (S18).
#[inline(always)]
const fn empty(flags: ServiceFlags) -> Reason {
    if flags.has(ServiceFlags::ENDPOINTS) { Reason::NoLocalEndpoint } else { Reason::NoEndpoint }
}

/// Whether a remembered backend is still there and serves, if only its old clients (S46).
#[inline(always)]
pub fn serves<E: Env>(env: &E, id: BackendId, generation: Generation) -> bool {
    env.backend(id).is_some_and(|backend| backend.generation == generation) && env.backend_state(id).is_serving()
}

/// Maps a uniform number of 32 bits to one below `count`, without a division.
#[inline(always)]
pub const fn scale(random: u32, count: u32) -> u32 {
    ((random as u64 * count as u64) >> 32) as u32
}

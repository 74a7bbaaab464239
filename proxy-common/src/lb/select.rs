//! Which backend serves: uniform random choice (S20) in the set that the client gets, and whether a remembered one still does.

use super::{Client, Env, Set};
use crate::abi::{Backend, BackendId, Frontend, Generation, Reason, ServiceFlags};

/// What a selection yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selected {
    /// No descriptor is in force: there is no such service.
    Nothing,
    /// The client gets no backend, for this reason (S21, S22, S23).
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

/// Chooses a backend for a new connection. The service's word is loaded once, so the choice is of one table.
#[inline(always)]
pub fn select<E: Env>(env: &mut E, frontend: Frontend, client: Client) -> Selected {
    let Some(index) = env.service(frontend.service).descriptor() else { return Selected::Nothing };
    let Some(descriptor) = env.descriptor(index) else { return Selected::Nothing };
    let flags = descriptor.flags;
    let range = match client.set(frontend.kind, flags) {
        Set::Cluster => descriptor.cluster,
        Set::Local => descriptor.local,
    };
    if range.count == 0 {
        return Selected::Refused(empty(flags));
    }
    let offset = scale(env.random(), range.count);
    let chosen = env.slot(range.first.wrapping_add(offset)).and_then(|id| Some((id, env.backend(id)?)));
    match chosen {
        Some((id, backend)) => Selected::Backend(Choice { id, backend, flags }),
        None => Selected::Refused(Reason::NoEndpoint),
    }
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

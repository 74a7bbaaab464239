//! Which backend serves: uniform random choice (S20), and whether a remembered one still does.

use super::Env;
use crate::abi::{Backend, BackendId, Generation, ServiceId};

/// What a selection yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selected {
    /// No descriptor is in force: there is no such service.
    Nothing,
    /// The service has no endpoint (S21).
    NoEndpoint,
    /// A backend.
    Backend(BackendId, Backend),
}

/// Chooses a backend for a new connection. The service's word is loaded once, so the choice is of one table.
#[inline(always)]
pub fn select<E: Env>(env: &mut E, service: ServiceId) -> Selected {
    let Some(index) = env.service(service).descriptor() else { return Selected::Nothing };
    let Some(descriptor) = env.descriptor(index) else { return Selected::Nothing };
    if descriptor.count == 0 {
        return Selected::NoEndpoint;
    }
    let offset = scale(env.random(), descriptor.count);
    let chosen = env.slot(descriptor.first.wrapping_add(offset)).and_then(|id| Some((id, env.backend(id)?)));
    match chosen {
        Some((id, backend)) => Selected::Backend(id, backend),
        None => Selected::NoEndpoint,
    }
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

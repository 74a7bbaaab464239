//! Sockets: translated once, when they dial; no packet is touched afterwards.

use super::select::{Choice, Selected, select, serves};
use super::{Client, Env, Identity, frontend, source};
use crate::abi::{Addr, Disposition, FrontendKey, PeerKey, PeerValue, Port, Proto, Reason, SocketState};

/// Who dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
    /// Cookie of the socket's network namespace.
    pub netns: u64,
    /// Cookie of the socket.
    pub socket: u64,
    /// The address that the socket is bound to; unspecified if to none.
    pub source: Addr,
}

/// What becomes of a socket that dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialled {
    /// No frontend, or one whose packets an edge drops: it goes where it dialled.
    Untouched,
    /// It goes to a backend.
    Backend(SocketState),
    /// It is refused, for this reason.
    Refused(Reason),
}

/// How often a backend is drawn again that the same socket knows as another frontend's.
const DRAWS: u32 = 4;

/// A socket connects to `addr` and `port`.
#[inline(always)]
pub fn connect<E: Env>(env: &mut E, caller: Caller, addr: Addr, port: Port, proto: Proto) -> Dialled {
    let key = FrontendKey::new(addr, port, proto);
    let client = Client::of_socket(env, caller, addr.family());
    let Some(frontend) = frontend::for_socket(env, key, client) else { return Dialled::Untouched };
    let source = source::of_socket(env, caller, client, addr.family());
    match select(env, frontend, client, Identity::Namespace(caller.netns, &source), None) {
        Selected::Nothing => Dialled::Untouched,
        Selected::Refused(reason) if is_left_alone(reason) => Dialled::Untouched,
        Selected::Refused(reason) => Dialled::Refused(reason),
        Selected::Backend(Choice { id, backend, .. }) => {
            env.count_connection(frontend.service);
            Dialled::Backend(SocketState {
                frontend: key,
                backend_addr: backend.addr,
                service: frontend.service,
                backend: id,
                generation: backend.generation,
                backend_port: backend.port,
                zero: 0,
            })
        }
    }
}

/// What becomes of a datagram with an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// No frontend, or one whose packets an edge drops: it goes where it was sent.
    Untouched,
    /// It goes to this address, for this reason.
    To(Addr, Port, Reason),
    /// The system call is refused.
    Refused(Reason),
}

/// A UDP socket sends a datagram to `addr` and `port`. It stays with the backend it has for that frontend as long as that
/// serves (S46) and the frontend is the same service's (S13).
#[inline(always)]
pub fn send<E: Env>(env: &mut E, caller: Caller, addr: Addr, port: Port) -> Sent {
    let key = FrontendKey::new(addr, port, Proto::UDP);
    let client = Client::of_socket(env, caller, addr.family());
    let Some(frontend) = frontend::for_socket(env, key, client) else { return Sent::Untouched };
    let to = PeerKey::to_frontend(caller.socket, addr, port);
    if let Some(peer) = env.peer(&to)
        && peer.service == frontend.service
        && serves(env, peer.backend, peer.generation)
    {
        return Sent::To(peer.addr, peer.port, Reason::Forward);
    }
    let source = source::of_socket(env, caller, client, addr.family());
    let identity = Identity::Namespace(caller.netns, &source);
    let mut drawn = select(env, frontend, client, identity, None);
    for _ in 1..DRAWS {
        if !is_ambiguous(env, caller, &key, &drawn) {
            break;
        }
        drawn = select(env, frontend, client, identity, None);
    }
    match drawn {
        Selected::Nothing => Sent::Untouched,
        Selected::Refused(reason) if is_left_alone(reason) => Sent::Untouched,
        Selected::Refused(reason) => Sent::Refused(reason),
        Selected::Backend(Choice { id, backend, .. }) => {
            env.count_connection(frontend.service);
            let from = PeerKey::from_backend(caller.socket, backend.addr, backend.port);
            let peer = |addr, port| PeerValue {
                addr,
                port,
                zero: 0,
                service: frontend.service,
                backend: id,
                generation: backend.generation,
            };
            env.set_peer(&from, &peer(addr, port));
            env.set_peer(&to, &peer(backend.addr, backend.port));
            Sent::To(backend.addr, backend.port, Reason::Opened)
        }
    }
}

/// Which frontend a datagram from `addr` and `port` belongs to; `connected` is what a connected socket remembers.
#[inline(always)]
pub fn receive<E: Env>(
    env: &E,
    caller: Caller,
    connected: Option<&SocketState>,
    addr: Addr,
    port: Port,
) -> Option<(Addr, Port)> {
    if let Some(frontend) = connected.and_then(|state| peer_name(state, addr, port)) {
        return Some(frontend);
    }
    env.peer(&PeerKey::from_backend(caller.socket, addr, port)).map(|peer| (peer.addr, peer.port))
}

/// Which frontend a connected socket's peer stands for.
#[inline(always)]
pub fn peer_name(state: &SocketState, addr: Addr, port: Port) -> Option<(Addr, Port)> {
    (state.backend_addr == addr && state.backend_port == port).then_some((state.frontend.addr, state.frontend.port))
}

/// What is dropped is dropped silently, by the edge that the packet meets: the client times out, and what it sends again is judged
/// anew (S28).
#[inline(always)]
fn is_left_alone(reason: Reason) -> bool {
    reason.disposition() == Disposition::Drop
}

#[inline(always)]
fn is_ambiguous<E: Env>(env: &E, caller: Caller, key: &FrontendKey, drawn: &Selected) -> bool {
    let Selected::Backend(Choice { backend, .. }) = drawn else { return false };
    env.peer(&PeerKey::from_backend(caller.socket, backend.addr, backend.port))
        .is_some_and(|peer| peer.addr != key.addr || peer.port != key.port)
}

//! The socket hooks: a connection is translated once, when it is dialled.

use crate::count::count;
use crate::env::Kernel;
use crate::maps::SOCKETS;
use crate::sockaddr::{self, Family};
use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use proxy_common::abi::{Addr, Hook, Port, Proto, Reason, SocketState};
use proxy_common::lb::{self, Caller, Dialled, Sent};

const ALLOW: i32 = 1;
const DENY: i32 = 0;
const ECONNREFUSED: i32 = 111;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;
const IPPROTO_MPTCP: u32 = 262;

/// `connect()` of TCP and UDP.
#[inline(always)]
pub fn connect<F: Family>(ctx: &SockAddrContext) -> i32 {
    let Some(proto) = protocol(ctx) else { return ALLOW };
    let (addr, port) = (F::addr(ctx.sock_addr), sockaddr::port(ctx.sock_addr));
    let mut env = Kernel::new(ctx.as_ptr());
    match lb::connect(&mut env, caller(ctx, F::bound(ctx.sock_addr)), addr, port, proto) {
        Dialled::Untouched => {
            forget(ctx);
            ALLOW
        }
        Dialled::Refused(reason) => refuse(reason),
        Dialled::Backend(mut state) => {
            F::set_addr(ctx.sock_addr, &state.backend_addr);
            sockaddr::set_port(ctx.sock_addr, state.backend_port);
            remember(ctx, &mut state);
            count(Hook::Socket, Reason::Opened, 0);
            ALLOW
        }
    }
}

/// `sendto()` and `sendmsg()` with an address, of UDP.
#[inline(always)]
pub fn sendmsg<F: Family>(ctx: &SockAddrContext) -> i32 {
    let (addr, port) = (F::addr(ctx.sock_addr), sockaddr::port(ctx.sock_addr));
    let mut env = Kernel::new(ctx.as_ptr());
    match lb::send(&mut env, caller(ctx, F::sends_from(ctx.sock_addr)), addr, port) {
        Sent::Untouched => ALLOW,
        Sent::Refused(reason) => refuse(reason),
        Sent::To(addr, port, reason) => {
            set::<F>(ctx, &addr, port);
            count(Hook::Socket, reason, 0);
            ALLOW
        }
    }
}

/// `recvfrom()` and `recvmsg()` that ask for the address, of UDP.
#[inline(always)]
pub fn recvmsg<F: Family>(ctx: &SockAddrContext) -> i32 {
    let (addr, port) = (F::addr(ctx.sock_addr), sockaddr::port(ctx.sock_addr));
    let env = Kernel::new(ctx.as_ptr());
    if let Some((addr, port)) = lb::receive(&env, caller(ctx, Addr::ANY_V6), remembered(ctx), addr, port) {
        set::<F>(ctx, &addr, port);
        count(Hook::Socket, Reason::Reply, 0);
    }
    ALLOW
}

/// `getpeername()`, in servers on `accept()` too.
#[inline(always)]
pub fn getpeername<F: Family>(ctx: &SockAddrContext) -> i32 {
    let Some(state) = remembered(ctx) else { return ALLOW };
    let (addr, port) = (F::addr(ctx.sock_addr), sockaddr::port(ctx.sock_addr));
    if let Some((addr, port)) = lb::peer_name(state, addr, port) {
        set::<F>(ctx, &addr, port);
    }
    ALLOW
}

#[inline(always)]
fn protocol(ctx: &SockAddrContext) -> Option<Proto> {
    // SAFETY: fields of the hook's context.
    let (kind, number) = unsafe { ((*ctx.sock_addr).type_, (*ctx.sock_addr).protocol) };
    match (kind, number) {
        (SOCK_STREAM, IPPROTO_TCP | IPPROTO_MPTCP) => Some(Proto::TCP),
        (SOCK_DGRAM, IPPROTO_UDP) => Some(Proto::UDP),
        _ => None,
    }
}

#[inline(always)]
fn caller(ctx: &SockAddrContext, source: Addr) -> Caller {
    // SAFETY: the hook's own context.
    unsafe { Caller { netns: bpf_get_netns_cookie(ctx.as_ptr()), socket: bpf_get_socket_cookie(ctx.as_ptr()), source } }
}

#[inline(always)]
fn set<F: Family>(ctx: &SockAddrContext, addr: &Addr, port: Port) {
    F::set_addr(ctx.sock_addr, addr);
    sockaddr::set_port(ctx.sock_addr, port);
}

#[inline(always)]
fn refuse(reason: Reason) -> i32 {
    // SAFETY: sets the system call's result.
    unsafe { bpf_set_retval(-ECONNREFUSED) };
    count(Hook::Socket, reason, 0);
    DENY
}

#[inline(always)]
fn remembered(ctx: &SockAddrContext) -> Option<&SocketState> {
    // SAFETY: the storage of the hook's own socket, or null.
    unsafe { SOCKETS.get_ptr_mut(ctx).as_ref() }
}

#[inline(always)]
fn remember(ctx: &SockAddrContext, state: &mut SocketState) {
    // SAFETY: the storage of the hook's own socket; it is made if it is not there.
    unsafe {
        let stored = SOCKETS.get_or_insert_ptr_mut(ctx, Some(state));
        if !stored.is_null() {
            *stored = *state;
        }
    }
}

#[inline(always)]
fn forget(ctx: &SockAddrContext) {
    // SAFETY: the storage of the hook's own socket.
    unsafe {
        let _ = SOCKETS.delete((*ctx.sock_addr).__bindgen_anon_1.sk);
    }
}

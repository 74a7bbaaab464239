//! The hooks of the Sluice Service proxy. Each is one line around a function that reads its context, asks `proxy-common` for the
//! decision and carries it out. No decision is made here.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod cgroup;
mod count;
mod env;
mod kernel;
mod maps;
mod route;
mod sockaddr;
mod span;
mod tc;
mod tc_packet;
mod xdp;
mod xdp_packet;

use aya_ebpf::macros::{cgroup_sock_addr, classifier, xdp as xdp_hook};
use aya_ebpf::programs::{SockAddrContext, TcContext, XdpContext};
use proxy_common::lb::{Direction, Edge};

#[cgroup_sock_addr(connect4)]
pub fn connect4(ctx: SockAddrContext) -> i32 {
    cgroup::connect::<sockaddr::V4>(&ctx)
}

#[cgroup_sock_addr(connect6)]
pub fn connect6(ctx: SockAddrContext) -> i32 {
    cgroup::connect::<sockaddr::V6>(&ctx)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(ctx: SockAddrContext) -> i32 {
    cgroup::sendmsg::<sockaddr::V4>(&ctx)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(ctx: SockAddrContext) -> i32 {
    cgroup::sendmsg::<sockaddr::V6>(&ctx)
}

#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(ctx: SockAddrContext) -> i32 {
    cgroup::recvmsg::<sockaddr::V4>(&ctx)
}

#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(ctx: SockAddrContext) -> i32 {
    cgroup::recvmsg::<sockaddr::V6>(&ctx)
}

#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(ctx: SockAddrContext) -> i32 {
    cgroup::getpeername::<sockaddr::V4>(&ctx)
}

#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(ctx: SockAddrContext) -> i32 {
    cgroup::getpeername::<sockaddr::V6>(&ctx)
}

/// Into the node, at uplinks and overlays.
#[classifier]
pub fn edge_ingress(ctx: TcContext) -> i32 {
    tc::run(&ctx, Edge::Outside, Direction::Ingress)
}

/// Out of the node, at uplinks and overlays.
#[classifier]
pub fn edge_egress(ctx: TcContext) -> i32 {
    tc::run(&ctx, Edge::Outside, Direction::Egress)
}

/// From a pod: replies of masqueraded flows alone.
#[classifier]
pub fn pod_ingress(ctx: TcContext) -> i32 {
    tc::run(&ctx, Edge::Pod, Direction::Ingress)
}

/// Into the node, at uplinks, before anything is allocated.
#[xdp_hook(frags)]
pub fn uplink_xdp(ctx: XdpContext) -> u32 {
    xdp::run(&ctx)
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual BSD/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

//! Addresses in the context of a socket hook.

use aya_ebpf::bindings::bpf_sock_addr;
use core::ptr;
use proxy_common::abi::{Addr, Port};

/// How a hook of one family reads and writes its address.
pub trait Family {
    /// The address that the hook shows.
    fn addr(ctx: *mut bpf_sock_addr) -> Addr;
    /// Replaces the address.
    fn set_addr(ctx: *mut bpf_sock_addr, addr: &Addr);
    /// At a connect: the address that the socket is bound to; unspecified if to none.
    fn bound(ctx: *mut bpf_sock_addr) -> Addr;
    /// At a datagram with an address: the one that it is sent from, as far as the socket or the call says so; else unspecified.
    fn sends_from(ctx: *mut bpf_sock_addr) -> Addr;
}

/// Hooks for IPv4 addresses.
pub struct V4;
/// Hooks for IPv6 addresses, v4-mapped ones included.
pub struct V6;

impl Family for V4 {
    #[inline(always)]
    fn addr(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: a field of the hook's context.
        Addr::v4_word(unsafe { (*ctx).user_ip4 })
    }

    #[inline(always)]
    fn set_addr(ctx: *mut bpf_sock_addr, addr: &Addr) {
        // SAFETY: a writable field of the hook's context.
        unsafe { ptr::write_volatile(&raw mut (*ctx).user_ip4, addr.as_v4_word()) }
    }

    #[inline(always)]
    fn bound(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: a field of the hook's own socket, which is always there.
        Addr::v4_word(unsafe { (*(*ctx).__bindgen_anon_1.sk).src_ip4 })
    }

    #[inline(always)]
    fn sends_from(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: a field of the hook's context.
        Addr::v4_word(unsafe { (*ctx).msg_src_ip4 })
    }
}

impl Family for V6 {
    #[inline(always)]
    fn addr(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: fields of the hook's context, which allows loads of 4 bytes.
        Addr::v6_words(unsafe {
            [
                ptr::read_volatile(&raw const (*ctx).user_ip6[0]),
                ptr::read_volatile(&raw const (*ctx).user_ip6[1]),
                ptr::read_volatile(&raw const (*ctx).user_ip6[2]),
                ptr::read_volatile(&raw const (*ctx).user_ip6[3]),
            ]
        })
    }

    #[inline(always)]
    fn set_addr(ctx: *mut bpf_sock_addr, addr: &Addr) {
        let [a, b, c, d] = addr.as_words();
        // SAFETY: writable fields of the hook's context. The verifier wants stores of 4 bytes, which must not be merged.
        unsafe {
            ptr::write_volatile(&raw mut (*ctx).user_ip6[0], a);
            ptr::write_volatile(&raw mut (*ctx).user_ip6[1], b);
            ptr::write_volatile(&raw mut (*ctx).user_ip6[2], c);
            ptr::write_volatile(&raw mut (*ctx).user_ip6[3], d);
        }
    }

    #[inline(always)]
    fn bound(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: fields of the hook's own socket, which is always there and allows loads of 4 bytes.
        Addr::v6_words(unsafe {
            let socket = (*ctx).__bindgen_anon_1.sk;
            [
                ptr::read_volatile(&raw const (*socket).src_ip6[0]),
                ptr::read_volatile(&raw const (*socket).src_ip6[1]),
                ptr::read_volatile(&raw const (*socket).src_ip6[2]),
                ptr::read_volatile(&raw const (*socket).src_ip6[3]),
            ]
        })
    }

    #[inline(always)]
    fn sends_from(ctx: *mut bpf_sock_addr) -> Addr {
        // SAFETY: fields of the hook's context, which allows loads of 4 bytes.
        Addr::v6_words(unsafe {
            [
                ptr::read_volatile(&raw const (*ctx).msg_src_ip6[0]),
                ptr::read_volatile(&raw const (*ctx).msg_src_ip6[1]),
                ptr::read_volatile(&raw const (*ctx).msg_src_ip6[2]),
                ptr::read_volatile(&raw const (*ctx).msg_src_ip6[3]),
            ]
        })
    }
}

/// The port that the hook shows.
#[inline(always)]
pub fn port(ctx: *mut bpf_sock_addr) -> Port {
    // SAFETY: a field of the hook's context.
    Port::from_wire(unsafe { (*ctx).user_port } as u16)
}

/// Replaces the port.
#[inline(always)]
pub fn set_port(ctx: *mut bpf_sock_addr, port: Port) {
    // SAFETY: a writable field of the hook's context.
    unsafe { ptr::write_volatile(&raw mut (*ctx).user_port, u32::from(port.to_wire())) }
}

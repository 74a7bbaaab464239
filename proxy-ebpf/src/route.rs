//! The kernel's routes.

use crate::maps::{CONFIG, FIB};
use aya_ebpf::bindings::bpf_fib_lookup as FibLookup;
use aya_ebpf::helpers::generated::{bpf_fib_lookup, bpf_redirect_neigh};
use core::ffi::c_void;
use core::mem;
use proxy_common::abi::{Addr, NextHop};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Linux 6.7.
const BPF_FIB_LOOKUP_SRC: u32 = 1 << 4;
const SUCCESS: i64 = 0;
const NO_NEIGHBOUR: i64 = 7;
/// A length that fits every route: the question is where, not whether the packet fits.
const SMALL: u16 = 64;

/// Asks the kernel's routing table. A neighbour that is not resolved yet leaves the link addresses zero.
#[inline(always)]
pub fn look_up(ctx: *mut c_void, between: (&Addr, &Addr), device: u32, hop: &mut NextHop) -> Option<Addr> {
    // Before the look-up: what changes during it makes the answer stale.
    let epoch = CONFIG.get(0)?.epoch;
    // SAFETY: a slot of a per-CPU array, used by one program at a time.
    let fib = unsafe { &mut *FIB.get_ptr_mut(0)? };
    fill(fib, between, device);
    // SAFETY: a context of this program, and a structure of the size that is named.
    let result = unsafe { bpf_fib_lookup(ctx, &raw mut *fib, size_of::<FibLookup>() as i32, BPF_FIB_LOOKUP_SRC) };
    if result != SUCCESS && result != NO_NEIGHBOUR {
        return None;
    }
    read_hop(fib, hop, result == SUCCESS);
    hop.epoch = epoch;
    // SAFETY: every bit pattern is valid for both members of the union.
    Some(unsafe {
        if between.1.is_v4() {
            Addr::v4_word(fib.__bindgen_anon_3.ipv4_src)
        } else {
            Addr::v6_words(fib.__bindgen_anon_3.ipv6_src)
        }
    })
}

#[inline(always)]
fn fill(fib: &mut FibLookup, (src, dst): (&Addr, &Addr), device: u32) {
    // SAFETY: plain data, for which zeros are valid.
    *fib = unsafe { mem::zeroed() };
    fib.__bindgen_anon_1.tot_len = SMALL;
    fib.ifindex = device;
    if dst.is_v4() {
        fib.family = AF_INET;
        fib.__bindgen_anon_3.ipv4_src = src.as_v4_word();
        fib.__bindgen_anon_4.ipv4_dst = dst.as_v4_word();
    } else {
        fib.family = AF_INET6;
        fib.__bindgen_anon_3.ipv6_src = src.as_words();
        fib.__bindgen_anon_4.ipv6_dst = dst.as_words();
    }
}

#[inline(always)]
fn read_hop(fib: &FibLookup, hop: &mut NextHop, resolved: bool) {
    // SAFETY: every bit pattern is valid for both members of the union.
    hop.gateway = unsafe {
        if fib.family == AF_INET {
            Addr::v4_word(fib.__bindgen_anon_4.ipv4_dst)
        } else {
            Addr::v6_words(fib.__bindgen_anon_4.ipv6_dst)
        }
    };
    hop.family = u16::from(fib.family);
    hop.device = fib.ifindex;
    hop.link = [0; 6];
    if resolved {
        let ([a, b, c], [d, e, f]) = (words(fib.dmac), words(fib.smac));
        hop.link = [a, b, c, d, e, f];
    }
}

#[inline(always)]
const fn words(mac: [u8; 6]) -> [u16; 3] {
    [u16::from_ne_bytes([mac[0], mac[1]]), u16::from_ne_bytes([mac[2], mac[3]]), u16::from_ne_bytes([mac[4], mac[5]])]
}

/// Redirects the packet to a next hop; the kernel resolves the neighbour.
#[inline(always)]
pub fn redirect(hop: &NextHop) -> i32 {
    // SAFETY: plain data, for which zeros are valid.
    let mut params: aya_ebpf::bindings::bpf_redir_neigh = unsafe { mem::zeroed() };
    params.nh_family = u32::from(hop.family);
    if hop.family == u16::from(AF_INET) {
        params.__bindgen_anon_1.ipv4_nh = hop.gateway.as_v4_word();
    } else {
        params.__bindgen_anon_1.ipv6_nh = hop.gateway.as_words();
    }
    // SAFETY: a structure of the size that is named.
    unsafe { bpf_redirect_neigh(hop.device, &raw mut params, size_of_val(&params) as i32, 0) as i32 }
}

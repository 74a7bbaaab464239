//! What else the kernel is asked: its sockets, and sums that all CPUs add to.

use aya_ebpf::bindings::{bpf_sock, bpf_sock_tuple};
use aya_ebpf::helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp};
use core::ffi::c_void;
use core::mem;
use proxy_common::abi::{Proto, Tuple};

const CURRENT_NETNS: u64 = u64::MAX;

/// Whether a socket of this node would receive replies to `tuple` (source = this node).
#[inline(always)]
pub fn has_socket(ctx: *mut c_void, tuple: &Tuple) -> bool {
    // SAFETY: plain data, for which zeros are valid.
    let mut key: bpf_sock_tuple = unsafe { mem::zeroed() };
    let size = fill(&mut key, tuple);
    // SAFETY: a context of this program and a tuple of the size that is named; a socket that is found is released.
    unsafe {
        let found: *mut bpf_sock = if tuple.proto == Proto::TCP {
            bpf_skc_lookup_tcp(ctx, &raw mut key, size, CURRENT_NETNS, 0)
        } else {
            bpf_sk_lookup_udp(ctx, &raw mut key, size, CURRENT_NETNS, 0)
        };
        if found.is_null() {
            return false;
        }
        bpf_sk_release(found.cast());
        true
    }
}

/// Writes the tuple of the reply and returns its size.
#[inline(always)]
fn fill(key: &mut bpf_sock_tuple, tuple: &Tuple) -> u32 {
    // SAFETY: both members of the union are plain data.
    unsafe {
        if tuple.src.is_v4() {
            let v4 = &mut key.__bindgen_anon_1.ipv4;
            v4.saddr = tuple.dst.as_v4_word();
            v4.daddr = tuple.src.as_v4_word();
            v4.sport = tuple.dport.to_wire();
            v4.dport = tuple.sport.to_wire();
            size_of_val(v4) as u32
        } else {
            let v6 = &mut key.__bindgen_anon_1.ipv6;
            v6.saddr = tuple.dst.as_words();
            v6.daddr = tuple.src.as_words();
            v6.sport = tuple.dport.to_wire();
            v6.dport = tuple.sport.to_wire();
            size_of_val(v6) as u32
        }
    }
}

/// Sets bits of a word that all CPUs set bits of.
///
/// # Safety
/// `word` lies in the value of a map.
#[inline(always)]
pub unsafe fn set(word: *mut u64, bits: u64) {
    // SAFETY: as above; the target has no other way to set bits in one step.
    unsafe { core::arch::asm!("lock *(u64 *)({word} + 0) |= {bits}", word = in(reg) word, bits = in(reg) bits) };
}

/// Adds to a word that all CPUs add to.
///
/// # Safety
/// `word` lies in the value of a map.
#[inline(always)]
pub unsafe fn add(word: *mut u64, by: i64) {
    // SAFETY: as above; the target has no other way to add in one step.
    unsafe { core::arch::asm!("lock *(u64 *)({word} + 0) += {by}", word = in(reg) word, by = in(reg) by) };
}

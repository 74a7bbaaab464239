//! Programs that only `cargo xtask bench` loads: what packet costs are compared with, and what feeds fresh packets to the program
//! that is measured.
//!
//! BPF_PROG_TEST_RUN repeats a program on one packet, which a translation has changed after the first run. So every measured
//! program stands behind a feeder: it takes off metadata, writes the frame anew and tail-calls. The feeder costs the same whatever
//! comes behind it, and is taken off with the empty program.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, ProgramArray};
use aya_ebpf::helpers::generated::{bpf_redirect, bpf_xdp_adjust_meta};
use aya_ebpf::macros::{btf_map, classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use core::ptr;

const NEXT: i32 = -1;
const SHOT: i32 = 2;
const WORDS: usize = 8;
const SPORT: usize = 34;
const HEADERS: usize = 54;
const IPV4: u16 = 0x0800_u16.to_be();
const NO_OPTIONS: u8 = 0x45;
const FRAGMENT: u16 = 0x3fff_u16.to_be();
const TCP: u8 = 6;

/// The frame that the feeders write, how its source port goes on from one run to the next, and where frames are sent.
#[repr(C)]
pub struct Frame {
    words: [u64; WORDS],
    step: u32,
    port: u32,
    device: u32,
    zero: u32,
}

/// Addresses and ports of IPv4, as they lie in the packet.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Key {
    src: u32,
    dst: u32,
    sport: u16,
    dport: u16,
    proto: u32,
}

#[btf_map]
pub static FRAME: Array<Frame, 1> = Array::new();
#[btf_map]
pub static TUPLES: HashMap<Key, u32, 65536> = HashMap::new();
#[btf_map]
pub static FRAMES: PerCpuArray<u64, 1> = PerCpuArray::new();
#[btf_map]
pub static XDP_NEXT: ProgramArray<1> = ProgramArray::new();
#[btf_map]
pub static TC_NEXT: ProgramArray<1> = ProgramArray::new();

#[xdp(frags)]
pub fn feed_xdp(ctx: XdpContext) -> u32 {
    // SAFETY: fields of the hook's context; the metadata that is taken off lies before the packet.
    unsafe {
        let meta = (*ctx.ctx).data - (*ctx.ctx).data_meta;
        if meta != 0 && bpf_xdp_adjust_meta(ctx.ctx, meta as i32) != 0 {
            return XDP_DROP;
        }
        if write_frame(ctx.data(), ctx.data_end()) {
            XDP_NEXT.tail_call(&ctx, 0);
        }
    }
    XDP_DROP
}

#[classifier]
pub fn feed_tc(ctx: TcContext) -> i32 {
    if write_frame(ctx.data(), ctx.data_end()) {
        // SAFETY: what is behind the feeder is a program of the same type.
        unsafe { TC_NEXT.tail_call(&ctx, 0) };
    }
    SHOT
}

#[xdp(frags)]
pub fn empty_xdp(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

#[classifier]
pub fn empty_tc(_ctx: TcContext) -> i32 {
    NEXT
}

/// Writes the frame and sends it out of the device in `device`: live frames come back as the last program left them.
#[xdp(frags)]
pub fn spray_xdp(ctx: XdpContext) -> u32 {
    let Some(frame) = FRAME.get(0) else { return XDP_DROP };
    if !write_frame(ctx.data(), ctx.data_end()) {
        return XDP_DROP;
    }
    // SAFETY: takes values alone.
    unsafe { bpf_redirect(frame.device, 0) as u32 }
}

/// Counts what arrives.
#[xdp(frags)]
pub fn sink_xdp(_ctx: XdpContext) -> u32 {
    if let Some(frames) = FRAMES.get_ptr_mut(0) {
        // SAFETY: a slot of a per-CPU array, which only this CPU writes.
        unsafe { *frames += 1 };
    }
    XDP_DROP
}

/// Sends every frame back where it came from.
#[xdp(frags)]
pub fn echo_xdp(_ctx: XdpContext) -> u32 {
    XDP_TX
}

/// The unit of packet costs: parses Ethernet, IPv4 and TCP, and looks the tuple up in a hash table.
#[xdp(frags)]
pub fn reference_xdp(ctx: XdpContext) -> u32 {
    if is_known(ctx.data(), ctx.data_end()) { XDP_PASS } else { XDP_DROP }
}

/// The same at tc.
#[classifier]
pub fn reference_tc(ctx: TcContext) -> i32 {
    if is_known(ctx.data(), ctx.data_end()) { NEXT } else { SHOT }
}

#[inline(always)]
fn write_frame(start: usize, end: usize) -> bool {
    let Some(frame) = FRAME.get_ptr_mut(0) else { return false };
    if start + size_of::<[u64; WORDS]>() > end {
        return false;
    }
    // SAFETY: an element of an array that one program at a time uses, and the packet as far as was checked.
    unsafe {
        for i in 0..WORDS {
            ptr::write_volatile((start as *mut u64).add(i), (*frame).words[i]);
        }
        if (*frame).step != 0 {
            (*frame).port += (*frame).step;
            ptr::write_volatile((start + SPORT) as *mut u16, ((*frame).port as u16).to_be());
        }
    }
    true
}

#[inline(always)]
fn is_known(start: usize, end: usize) -> bool {
    if start + HEADERS > end {
        return false;
    }
    // SAFETY: the packet as far as was checked; eBPF allows loads at any alignment in packets.
    let key = unsafe {
        let is_plain = *at::<u16>(start, 12) == IPV4
            && *at::<u8>(start, 14) == NO_OPTIONS
            && *at::<u16>(start, 20) & FRAGMENT == 0
            && *at::<u8>(start, 23) == TCP;
        if !is_plain {
            return false;
        }
        Key { src: *at(start, 26), dst: *at(start, 30), sport: *at(start, 34), dport: *at(start, 36), proto: u32::from(TCP) }
    };
    TUPLES.get_ptr(key).is_some()
}

#[inline(always)]
const fn at<T>(start: usize, offset: usize) -> *const T {
    (start + offset) as *const T
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual BSD/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

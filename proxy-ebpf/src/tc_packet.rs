//! A packet at tc. It is written by the kernel's helpers alone: a program that writes to packets itself has each cloned one, as
//! a local stack's are, copied before it runs (`tc_cls_act_prologue`), even if it leaves it as it is. Only the helper for
//! transport checksums knows whether one is complete, partial or none.

use crate::maps::CSUM_IPV6;
use crate::span::Span;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{
    bpf_csum_update, bpf_l4_csum_replace, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_pull_data, bpf_skb_store_bytes,
};
use bytemuck::Pod;
use core::ptr;
use proxy_common::packet::{Change, ETHER_V4, Ethernet, Packet, Sum};

const PSEUDO_HDR: u64 = 1 << 4;
const MARK_MANGLED_0: u64 = 1 << 5;
/// Linux 6.16.
const IPV6: u64 = 1 << 7;
const ROOM_MAC: u32 = 1;
/// Ethernet, IPv4 or IPv6, and TCP without options.
const HEADERS_V4: usize = 14 + 20 + 20;
const HEADERS_V6: usize = 14 + 40 + 20;

/// The packet of a tc hook.
pub struct TcPacket {
    skb: *mut __sk_buff,
}

impl TcPacket {
    /// The packet behind a context. Headers that lie in pages are pulled into the linear part.
    #[inline(always)]
    pub fn new(skb: *mut __sk_buff) -> Self {
        let packet = Self { skb };
        let (len, wanted) = (packet.len() as usize, packet.headers());
        if packet.data() + wanted > packet.data_end() && packet.data() + len > packet.data_end() {
            let wanted = if len < wanted { len } else { wanted };
            // SAFETY: the hook's own context.
            unsafe { bpf_skb_pull_data(skb, wanted as u32) };
        }
        packet
    }

    /// How much of the packet is read. What lies in pages is pulled no further: that allocates and copies.
    #[inline(always)]
    fn headers(&self) -> usize {
        match self.load::<Ethernet>(0) {
            Some(Ethernet { ether_type: ETHER_V4, .. }) => HEADERS_V4,
            _ => HEADERS_V6,
        }
    }

    /// Length from the link header on.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        // SAFETY: a field of the hook's context.
        unsafe { (*self.skb).len }
    }

    #[inline(always)]
    fn data(&self) -> usize {
        // SAFETY: a field of the hook's context; helpers change it, so it is read anew each time.
        unsafe { ptr::read_volatile(&raw const (*self.skb).data) as usize }
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        // SAFETY: a field of the hook's context; helpers change it, so it is read anew each time.
        unsafe { ptr::read_volatile(&raw const (*self.skb).data_end) as usize }
    }

    #[inline(always)]
    fn span(&self) -> Span {
        // SAFETY: the bounds of the hook's packet.
        unsafe { Span::new(self.data(), self.data_end()) }
    }

    /// Adds to the sum over the whole packet, if the packet came with one.
    #[inline(always)]
    fn update_complete(&mut self, difference: Sum) {
        if difference != Sum::ZERO {
            // SAFETY: the hook's own context.
            unsafe { bpf_csum_update(self.skb, difference.fold32()) };
        }
    }

    #[inline(always)]
    fn replace(&mut self, offset: usize, difference: Sum, flags: u64) -> Option<()> {
        if difference == Sum::ZERO {
            return Some(());
        }
        // SAFETY: the hook's own context; with a size of zero the helper takes a difference.
        let result = unsafe { bpf_l4_csum_replace(self.skb, offset as u32, 0, u64::from(difference.fold32()), flags) };
        (result == 0).then_some(())
    }
}

impl Packet for TcPacket {
    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        self.span().load(offset)
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()> {
        let (from, length) = (&raw const *value, size_of::<T>() as u32);
        // SAFETY: the hook's own context, and a value of the size that is named.
        (unsafe { bpf_skb_store_bytes(self.skb, offset as u32, from.cast(), length, 0) } == 0).then_some(())
    }

    #[inline(always)]
    fn update_checksum(&mut self, offset: usize, change: Change, optional: bool) -> Option<()> {
        // An IPv4 header's own checksum hides its addresses from a sum over the packet.
        let addresses = if change.v6 { change.addresses } else { Sum::ZERO };
        if optional && self.load::<u16>(offset)? == 0 {
            self.update_complete(change.uncovered.and(addresses).and(change.ports));
            return Some(());
        }
        let mangled = if optional { MARK_MANGLED_0 } else { 0 };
        let knows_v6 = CSUM_IPV6.load() != 0;
        let family = if change.v6 && knows_v6 { IPV6 } else { 0 };
        self.replace(offset, change.addresses, PSEUDO_HDR | mangled | family)?;
        self.replace(offset, change.ports, mangled)?;
        // For IPv6 addresses and their checksum, which cancel out, the helper without the flag takes the difference from the sum
        // over the packet all the same (inet_proto_csum_replace_by_diff in net/core/utils.c before Linux 6.16).
        let undone = if knows_v6 { Sum::ZERO } else { addresses };
        self.update_complete(change.uncovered.and(undone));
        Some(())
    }

    #[inline(always)]
    fn reshape(&mut self, keep: usize, grow: usize) -> Option<()> {
        // SAFETY: the hook's own context.
        unsafe {
            if bpf_skb_change_tail(self.skb, keep as u32, 0) != 0 {
                return None;
            }
            (bpf_skb_adjust_room(self.skb, grow as i32, ROOM_MAC, 0) == 0).then_some(())
        }
    }
}

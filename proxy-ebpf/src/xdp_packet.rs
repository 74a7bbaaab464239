//! A packet at XDP. Everything is written in place: no checksum is partial on a wire.

use crate::span::Span;
use aya_ebpf::bindings::xdp_md;
use bytemuck::Pod;
use core::ptr;
use proxy_common::packet::{self, Change, Packet};

/// The packet of an XDP hook.
pub struct XdpPacket {
    ctx: *mut xdp_md,
}

impl XdpPacket {
    /// The packet behind a context.
    #[inline(always)]
    pub const fn new(ctx: *mut xdp_md) -> Self {
        Self { ctx }
    }

    /// Length of the linear part.
    #[inline(always)]
    pub fn len(&self) -> u32 {
        (self.data_end() - self.data()) as u32
    }

    #[inline(always)]
    fn data(&self) -> usize {
        // SAFETY: a field of the hook's context; helpers change it, so it is read anew each time.
        unsafe { ptr::read_volatile(&raw const (*self.ctx).data) as usize }
    }

    #[inline(always)]
    fn data_end(&self) -> usize {
        // SAFETY: a field of the hook's context; helpers change it, so it is read anew each time.
        unsafe { ptr::read_volatile(&raw const (*self.ctx).data_end) as usize }
    }

    #[inline(always)]
    fn span(&self) -> Span {
        // SAFETY: the bounds of the hook's packet.
        unsafe { Span::new(self.data(), self.data_end()) }
    }
}

impl Packet for XdpPacket {
    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        self.span().load(offset)
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()> {
        self.span().store(offset, value)
    }

    #[inline(always)]
    fn update_checksum(&mut self, offset: usize, change: Change, optional: bool) -> Option<()> {
        packet::update_in_place(self, offset, change, optional)
    }

    #[inline(always)]
    fn reshape(&mut self, _keep: usize, _grow: usize) -> Option<()> {
        None
    }
}

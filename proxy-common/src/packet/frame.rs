//! The trait that every hook's packet implements. Whoever implements it decides what can be read; nobody else reads bytes.

use super::checksum::Sum;
use bytemuck::Pod;

/// A frame at a hook. Offsets count from the link header's first byte.
pub trait Packet {
    /// Reads a header. `None` beyond the end of what can be read.
    fn load<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Writes a header. `None` beyond the end of what can be written.
    fn store<T: Pod>(&mut self, offset: usize, value: &T) -> Option<()>;

    /// Updates a transport checksum for changes of the pseudo header (`addresses`) and of the ports (`ports`), and the sum over
    /// the whole frame where the hook has one.
    ///
    /// With `optional`, a checksum of zero means *none* and stays (UDP over IPv4, RFC 768), and a computed zero is written as
    /// all ones.
    fn update_checksum(&mut self, offset: usize, change: Change, optional: bool) -> Option<()>;

    /// Cuts the frame after `keep` bytes, then makes room for `grow` bytes between link header and network header.
    fn reshape(&mut self, keep: usize, grow: usize) -> Option<()>;
}

/// What a rewrite adds to a transport checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// By the addresses, which the pseudo header covers.
    pub addresses: Sum,
    /// By the ports.
    pub ports: Sum,
    /// By what no checksum in the frame covers, IPv6's hop limit: it counts only for a sum over the whole frame.
    pub uncovered: Sum,
    /// Whether the addresses are IPv6.
    pub v6: bool,
}

/// [`Packet::update_checksum`] for a hook at which every checksum is complete.
#[inline(always)]
pub fn update_in_place<P: Packet>(packet: &mut P, offset: usize, change: Change, optional: bool) -> Option<()> {
    let field: u16 = packet.load(offset)?;
    if optional && field == 0 {
        return Some(());
    }
    let updated = change.addresses.and(change.ports).update(field);
    packet.store(offset, &if optional && updated == 0 { 0xffff } else { updated })
}

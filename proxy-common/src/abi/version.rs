//! What tells programs and agents of different builds apart, and translated packets from others.

/// Version of everything in `abi`. It changes whenever a type here, or the meaning of a map, does.
pub const ABI_VERSION: u32 = 12;

/// What [`super::Config::mark`] is made of.
pub(super) const TRANSLATED_MARK: u32 = 0x51_75_1c_e1;

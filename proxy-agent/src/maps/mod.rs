//! The tables that programs read: one trait, three bodies, and readers for those who only look.
//!
//! * [`Read`] and [`Maps`]: what `sync` needs of the tables. Mapped tables take plain stores that cannot fail; hash tables take
//!   batches that can.
//! * [`MemoryMaps`]: the tables in the process's own memory, for tests.

mod array;
mod capacity;
mod error;
mod interface;
mod memory;
mod name;
mod tables;

pub use array::{Array, Memory};
pub use capacity::Capacity;
pub use error::{MapError, Partial};
pub use interface::{Maps, Read};
pub use memory::{MemoryHashes, MemoryMaps};
pub use name::MapName;
pub use tables::{HashRead, HashWrite, Tables};

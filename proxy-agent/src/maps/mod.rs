//! The tables that programs read: one trait, three bodies, and readers for those who only look.
//!
//! * [`Read`] and [`Maps`]: what `sync` needs of the tables. Mapped tables take plain stores that cannot fail; hash tables take
//!   batches that can.
//! * [`KernelMaps`]: pinned maps, brought into the kernel by [`load()`]. [`MemoryMaps`]: the same tables in the process's own memory.
//!   [`FaultyMaps`]: refuses or stops at a chosen operation.
//! * [`GracePeriods`]: when no program can see any more what was taken out.
//! * [`NodeMaps`]: what programs know of the node.
//! * [`services`]: the tables as operators read them; [`Reader`]: the same over pins, with no agent running.

mod array;
mod capacity;
mod error;
mod faulty;
mod filter;
mod fixture;
mod flows;
mod grace;
mod hash;
mod interest;
mod interface;
mod kernel;
mod load;
mod mapping;
mod memory;
mod name;
mod net;
mod node;
mod pins;
mod reader;
mod room;
mod spec;
mod sys;
mod tables;
mod view;

pub use array::{Array, Memory};
pub use capacity::Capacity;
pub use error::{MapError, Partial};
pub use faulty::{FaultyMaps, Refusal};
pub use fixture::create_pinned;
pub use flows::{Flows, KernelFlows};
pub use grace::{GraceError, GracePeriods, GraceToken};
pub use hash::HashTable;
pub use interface::{Maps, Read};
pub use kernel::{KernelHashes, KernelMaps};
pub use load::{LoadError, LoadOptions, load};
pub use mapping::Mapping;
pub use memory::{MemoryHashes, MemoryMaps};
pub use name::MapName;
pub use net::{net, source_range};
pub use node::NodeMaps;
pub use pins::{Access, PinError, ShapeText};
pub use reader::{FLOW_TABLES, Reader, TableUse};
pub use tables::{HashRead, HashWrite, Tables};
pub use view::{BackendView, ServiceView, services};

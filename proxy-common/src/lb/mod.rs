//! The decisions: match a frontend, select a backend, follow flows, find source ports, give a verdict.
//!
//! A verdict is a function of packet or socket address, place, tables, clock, random number and the kernel's answers; all of
//! them come in as arguments or through [`Env`]. Nothing here does IO or asks a clock.

mod client;
mod connection;
mod env;
mod flow;
mod frontend;
mod open;
mod packet;
mod rate;
mod select;
mod snat;
mod socket;
mod source;
mod spread;

pub use client::{Client, Identity, Set};
pub use env::{Class, Env, FlowTable, InsertError, Step};
pub use packet::{Direction, Edge, Path, Place, Verdict, decide};
pub use rate::{seeded, take_token};
pub use socket::{Caller, Dialled, Sent, connect, peer_name, receive, send};
pub use spread::{mix, spread};

#[cfg(test)]
mod tests;

//! What tests run the decisions on: the trait [`crate::lb::Env`] over plain memory, frames made byte by byte, and checks that
//! compute every checksum anew. Nothing here uses the code it is to judge.

mod frame;
mod memory;
mod route;
mod sound;

pub use frame::Frame;
pub use memory::Memory;
pub use route::{Route, Way};
pub use sound::{flaw, internet_sum};

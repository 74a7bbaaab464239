//! The agent of the Sluice Service proxy. One direction: watch → state → compile → sync → maps → programs.
#![forbid(unsafe_op_in_unsafe_fn)]

pub mod app;
pub mod attach;
mod bpf;
pub mod cli;
pub mod compile;
pub mod config;
pub mod control;
pub mod fault;
mod keys;
pub mod lifecycle;
pub mod logging;
pub mod maps;
pub mod memory;
pub mod serve;
pub mod state;
pub mod sync;
pub mod table;
pub mod watch;

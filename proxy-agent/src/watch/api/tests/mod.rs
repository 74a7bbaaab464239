//! The API body against an HTTP server that does what it is told.

mod cidrs;
mod lists;
mod rig;
mod server;
mod troubles;

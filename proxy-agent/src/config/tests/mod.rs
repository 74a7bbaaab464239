//! Flags and files into configurations.

mod fields;
mod fixture;
mod own;
mod printed;
mod refusals;

//! The commands. Each has a file with its arguments and one function that runs it.

pub mod output;

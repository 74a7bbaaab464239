//! The commands. Each has a file with its arguments and one function that runs it.

pub mod backends;
pub mod cleanup;
mod command;
pub mod config;
pub mod filter;
pub mod flows;
pub mod instance;
pub mod output;
pub mod rows;
pub mod run;
pub mod services;
pub mod status;
mod status_text;

pub use command::{Cli, exit_code, message};

#[cfg(test)]
mod tests;

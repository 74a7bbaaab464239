//! The commands. Each has a file with its arguments and one function that runs it.

pub mod backends;
pub mod filter;
pub mod flows;
pub mod instance;
pub mod output;
pub mod rows;
pub mod services;
pub mod status;
mod status_text;

#[cfg(test)]
mod tests;

//! `cargo xtask tidy`: form, lints, dependencies and the limits of the house, all of them in one go.

mod dependencies;
mod functions;
mod lints;
mod rules;
mod run;
mod sources;

pub use run::run;

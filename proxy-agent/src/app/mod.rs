//! The agent as a whole: everything wired, one loop that executes.
//!
//! * [`App`]: start and loop. Tests run it as `main` does: it returns the addresses it is bound to.
//! * `program`: events in, tables written; the stretch from `watch` to `maps`.
//! * `tasks`: what runs beside the loop; the silent end of one is fatal.
//! * `round`: which events are put in force together.
//! * `publish`: what the command line and metrics are told.
//!
//! Invariant: only the loop writes tables, and what it does is over before it looks at the next input.

mod error;
mod program;
mod publish;
mod round;
mod run;
mod tasks;

pub use error::AppError;
pub use run::App;

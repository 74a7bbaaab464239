//! Sources of truth: one trait, two bodies. Objects become changes; the rest of the agent can't tell the bodies apart.
//!
//! Invariant: a source never takes back what it said before because it is in trouble. An object stays in force until the
//! source has seen that it is gone.

pub mod api;
pub mod event;
pub mod files;
mod notice;
pub mod objects;
mod start;
pub mod trouble;
pub mod yaml;

pub use api::Api;
pub use event::{Batch, Event, Events, Listing, Source};
pub use files::Files;
pub use notice::{About, Gravity, Notice};
pub use start::{notices, start};
pub use trouble::{ApiTrouble, FileLine, FileTrouble, Subject, Trouble};
pub use yaml::{yaml_documents, yaml_error};

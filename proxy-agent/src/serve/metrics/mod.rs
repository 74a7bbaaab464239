//! Metrics: one registry of our own, never the process-wide one. The agent observes values into it; what stands in the maps
//! is read when somebody scrapes.
//!
//! * [`kubeproxy`](self): names, types, labels and buckets that dashboards of kube-proxy use (SEMANTICS §7).
//! * own names start with `sluice_`.
//!
//! docs/metrics.md lists each one; a test holds that list and the registry together.

mod forecast;
mod kubeproxy;
mod label;
mod maps;
mod own;
mod registry;

pub use label::family_label;
pub use maps::{Counted, MapReading, ReadMaps};
pub use registry::{Applied, Metrics};

#[cfg(test)]
mod tests;

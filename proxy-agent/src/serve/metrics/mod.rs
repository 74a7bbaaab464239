//! Metrics: one registry of our own, never the process-wide one. The agent observes values into it; what stands in the maps
//! is read when somebody scrapes.
//!
//! * [`kubeproxy`](self): names, types, labels and buckets that dashboards of kube-proxy use (SEMANTICS §7).
//! * own names start with `sluice_`.
//!
//! docs/metrics.md lists each one; a test holds that list and the registry together.

mod kubeproxy;
mod maps;
mod own;
mod registry;

pub use maps::{Counted, MapReading, ReadMaps};
pub use registry::{Applied, Metrics};

use proxy_common::abi::Family;

/// The value of the label `ip_family`, as kube-proxy writes it.
pub const fn family_label(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

#[cfg(test)]
mod tests;

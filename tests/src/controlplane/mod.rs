//! A real control plane in a network namespace: etcd, API server and the EndpointSlice controllers, with RBAC.
//!
//! ```no_run
//! use sluice_tests::{Cluster, ControlPlane, Family, PodNetwork, Spec};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cluster = Cluster::build("my-api-test", Spec::new(PodNetwork::Routed))?;
//! let outside = cluster.outside();
//! let mut plane = ControlPlane::start(outside.netns(), outside.ip(Family::V4), &cluster.scratch())?;
//! plane.kubectl(&["apply", "-f", "deploy"])?;
//! println!("an agent follows it with --kubeconfig {}", plane.agent_kubeconfig().display());
//! plane.stop_api_server()?;
//! plane.start_api_server()?;
//! # Ok(())
//! # }
//! ```

mod credentials;
mod daemon;
mod etcd;
mod kube_proxy;
mod objects;
mod plane;
mod programs;
mod tokens;
pub mod world;

pub use etcd::Etcd;
pub use kube_proxy::KubeProxy;
pub use objects::Pod;
pub use plane::{AGENT_IDENTITY, ControlPlane};
pub use programs::program;
pub use tokens::LEEWAY;

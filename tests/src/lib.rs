//! What needs a kernel: clusters of network namespaces, real sockets in real cgroups, packets checked on the wire.
//!
//! A test builds a [`Cluster`], puts pods on its nodes, writes [`manifests`], starts an [`Agent`] on each node and lets
//! pods, nodes and the outside client talk. Everything is synchronous; each client or server is a process of its own
//! (see [`traffic`]), since only a process can be in a pod's cgroup. All of it is gone when the cluster is dropped, also
//! after a panic, Ctrl-C or SIGKILL (see [`Rig`]).
//!
//! ```no_run
//! use sluice_tests::{Agent, Cluster, Family, Manifests, PodNetwork, Proto, Spec, cluster_ip, manifests::Service};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cluster = Cluster::build("my-test", Spec::new(PodNetwork::Routed))?;
//! let (web, client) = (cluster.add_pod(1, "web")?, cluster.add_pod(0, "client")?);
//! let _server = web.serve(&[8080])?;
//!
//! let manifests = Manifests::create(&cluster.scratch())?;
//! let service = Service::new("web", &[cluster_ip(Family::V4, 10)]).port(Proto::Tcp, 80, 8080, 30007);
//! manifests.put_service(&service)?;
//! manifests.put_slice(&service.slice(Family::V4).endpoint(web.ip(Family::V4), "node2"))?;
//!
//! let mut agent = Agent::for_node(&cluster, 0, manifests.path(), &[]);
//! agent.start()?;
//! let before = agent.metrics()?;
//! let outcome = client.dial(Proto::Tcp, (cluster_ip(Family::V4, 10), 80).into())?;
//! assert_eq!(outcome.result.expect("an answer").by, "web");
//! println!("{:?}", agent.metrics()?.risen_since(&before));
//! # Ok(())
//! # }
//! ```
//!
//! Most suites start from a [`Scenario`]: two pods, four Services and an agent on each node. A test says which hook did the
//! work by [`hooks::Hooks`], which counts translations by hook between two scrapes.
//!
//! For checksums: [`Host::offload_off`] on the devices concerned, [`Host::sniff`] at the receiver, and
//! [`sniff::Capture::expect_sound`]. For XDP: [`Cluster::make_wire_physical`] before the agent starts.

pub mod agent;
pub mod attempt;
pub mod bench;
pub mod cgroup;
pub mod cluster;
pub mod controlplane;
pub mod expect;
pub mod hooks;
pub mod http;
pub mod inlet;
pub mod manifests;
pub mod metrics;
pub mod net;
pub mod netns;
pub mod offload;
pub mod rig;
pub mod scenario;
pub mod sniff;
pub mod traffic;
pub mod wait;
pub mod wire;
pub mod xdp_pass;

pub use agent::Agent;
pub use attempt::Attempt;
pub use cluster::{Cluster, Host, PodNetwork, Spec, Wire, cluster_ip};
pub use controlplane::ControlPlane;
pub use manifests::Manifests;
pub use net::{Family, Proto};
pub use rig::{Rig, reap};
pub use scenario::Scenario;
pub use sniff::Sniffer;
pub use traffic::Traffic;

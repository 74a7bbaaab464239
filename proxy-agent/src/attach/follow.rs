//! Keeps programs and their tables in step with what the node is: addresses, devices, routes, and the node object's addresses.

use super::attachments::{Attachments, DeviceState};
use super::facts::Facts;
use super::links::LinkError;
use super::netlink::Observation;
use super::node::{self, NodeTables};
use super::ports::Ports;
use super::sys;
use crate::config::{ClusterCidrs, Config, Detector, MasqueradeExternal, NodePortAddresses};
use crate::maps::{MapError, NodeMaps};
use ipnet::IpNet;
use proxy_common::abi::{ABI_VERSION, Cidr, Config as Settings, Masquerade, SERVICE_CIDRS};
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// ICMP errors that a CPU may send in a second: Linux's own limit for a host is 1,000.
const ICMP_PER_SECOND: u32 = 100;

/// Why the node can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A table.
    #[error(transparent)]
    Map(#[from] MapError),
    /// XDP is required and a device has none.
    #[error("--xdp require: {0}")]
    XdpRequired(String),
    /// The namespace can't be told from others.
    #[error("can't tell the network namespace: {0}; Linux 5.14 or later is needed")]
    Namespace(io::Error),
}

/// What the Node object says that programs must know (S39, S54).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeObject {
    /// The node's primary addresses; none before the object appears.
    pub addresses: Vec<IpAddr>,
    /// The addresses of its pods.
    pub pod_cidrs: ClusterCidrs,
}

/// What an earlier agent knew of the Node object, as it stands in the tables: it stays in force until objects are listed, however
/// long the API is away.
struct Left {
    addresses: Vec<IpAddr>,
    cluster_cidrs: [Cidr; 2],
}

/// The node as programs know it.
pub struct Node {
    maps: NodeMaps,
    attachments: Attachments,
    serve: NodePortAddresses,
    detector: Detector,
    masquerade: Masquerade,
    /// Counts as primary in its family, whatever the object says.
    node_ip: Option<IpAddr>,
    /// The prefixes of the configuration, for want of ServiceCIDR objects.
    configured_cidrs: Vec<IpNet>,
    service_cidrs: [Cidr; SERVICE_CIDRS],
    netns: u64,
    ports: Ports,
    object: NodeObject,
    left: Option<Left>,
    facts: Facts,
    devices: Vec<DeviceState>,
    /// Whether something of what is known is not in force: set before anything is written, cleared when all of it was.
    stale: bool,
}

impl Node {
    /// Nothing written or attached yet. Must be called in the namespace that is served.
    pub fn new(maps: NodeMaps, attachments: Attachments, config: &Config, ports: Ports) -> Result<Self, FollowError> {
        let service_cidrs = first_service_cidrs(&maps.config(), &config.service_cidrs);
        let netns = sys::netns_cookie().map_err(FollowError::Namespace)?;
        let left = left_over(&maps.config(), netns);
        Ok(Self {
            maps,
            attachments,
            serve: config.node_port_addresses.clone(),
            detector: config.detector.clone(),
            masquerade: masquerade(config),
            node_ip: config.node_ip,
            configured_cidrs: config.service_cidrs.clone(),
            service_cidrs,
            netns,
            ports,
            object: NodeObject::default(),
            left,
            facts: Facts::default(),
            devices: Vec::new(),
            stale: true,
        })
    }

    /// Writes what programs must know before the first of them runs.
    pub fn write(&mut self, facts: &Facts) -> Result<(), FollowError> {
        self.facts = facts.clone();
        self.write_tables()
    }

    /// Attaches the programs, or swaps those that are attached; `step` is told the name of each link.
    pub fn attach(&mut self, step: &dyn Fn(&str)) -> Result<(), FollowError> {
        self.attachments.attach_cgroup(step)?;
        self.follow(step)?;
        match self.attachments.required_xdp() {
            Some(refusal) => Err(FollowError::XdpRequired(refusal.to_owned())),
            None => Ok(()),
        }
    }

    /// The node changed.
    pub fn observe(&mut self, observation: Observation) -> Result<(), FollowError> {
        if observation.facts == self.facts && !self.stale {
            self.write_settings();
            return Ok(());
        }
        self.facts = observation.facts;
        self.retry()
    }

    /// Whether something failed that [`Self::retry`] may mend.
    pub const fn is_stale(&self) -> bool {
        self.stale
    }

    /// Brings tables and links in line once more, after an error.
    pub fn retry(&mut self) -> Result<(), FollowError> {
        self.stale = true;
        self.write_tables()?;
        self.follow(&|_| {})
    }

    /// The Node object came or changed.
    pub fn set_object(&mut self, object: NodeObject) -> Result<(), FollowError> {
        if object == self.object && self.left.is_none() && !self.stale {
            return Ok(());
        }
        self.object = object;
        self.left = None;
        self.retry()
    }

    /// Whether what an earlier agent knew of the Node object is in force, until [`Self::set_object`] says what it is, or that there is
    /// none.
    pub const fn goes_by_what_was_left(&self) -> bool {
        self.left.is_some()
    }

    /// What ServiceCIDR objects say; without any, what is configured is in force (S26).
    pub fn set_service_cidrs(&mut self, objects: &[IpNet]) {
        let wanted = if objects.is_empty() { &self.configured_cidrs } else { objects };
        let service_cidrs = node::service_cidrs(&self.service_cidrs, wanted);
        if service_cidrs != self.service_cidrs {
            self.service_cidrs = service_cidrs;
            self.write_settings();
        }
    }

    /// Where health checks of Services are answered: the addresses where NodePorts are served to others (S39, S49); the
    /// unspecified one of a family in which that is everywhere.
    pub fn health_addresses(&self) -> Vec<IpAddr> {
        node::health_addresses(&self.tables(), &self.serve)
    }

    /// The addresses of the node's devices that others can reach, and the one it was told to have; sorted.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = node::addresses(&self.facts).chain(self.node_ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The folder of the cgroup that is served.
    pub fn cgroup(&self) -> &Path {
        self.attachments.cgroup()
    }

    /// Each device, what it is and what is attached to it.
    pub fn devices(&self) -> &[DeviceState] {
        &self.devices
    }

    fn follow(&mut self, step: &dyn Fn(&str)) -> Result<(), FollowError> {
        // First nobody sends frames to a device, then its program goes: without one, drivers drop what is redirected to them.
        self.maps.keep_targets(&self.attachments.lasting_xdp(&self.facts))?;
        self.devices = self.attachments.follow(&self.facts, step)?;
        self.maps.set_devices(&self.tables().devices)?;
        self.stale = self.devices.iter().any(|device| device.may_mend);
        Ok(())
    }

    fn tables(&self) -> NodeTables {
        node::tables(&self.facts, &self.named(), &self.serve, &self.detector, &self.attachments.xdp_devices())
    }

    /// What counts as primary before anything that the devices say.
    fn named(&self) -> Vec<IpAddr> {
        let left = self.left.iter().flat_map(|left| &left.addresses).copied();
        let still_there = left.filter(|addr| node::addresses(&self.facts).any(|own| own == *addr));
        self.node_ip.into_iter().chain(self.object.addresses.iter().copied()).chain(still_there).collect()
    }

    fn cluster_cidrs(&self) -> [Cidr; 2] {
        match (&self.left, &self.detector) {
            (Some(left), Detector::NodeCidrs) => left.cluster_cidrs,
            _ => node::cluster_cidrs(&self.detector.cidrs(self.object.pod_cidrs)),
        }
    }

    fn write_tables(&mut self) -> Result<(), FollowError> {
        let tables = self.tables();
        self.maps.set_addresses(&tables.addresses)?;
        self.write_settings();
        Ok(())
    }

    /// Every write raises the epoch: next hops are asked for again.
    fn write_settings(&mut self) {
        let epoch = self.maps.config().epoch.wrapping_add(1);
        self.maps.set_config(Settings {
            abi: ABI_VERSION,
            epoch,
            netns: self.netns,
            cluster_cidrs: self.cluster_cidrs(),
            service_cidr_count: self.service_cidrs.iter().filter(|cidr| cidr.is_set()).count() as u32,
            service_cidrs: self.service_cidrs,
            ports: self.ports.ranges,
            port_count: self.ports.count,
            check_sockets: u32::from(self.ports.check_sockets),
            icmp_per_second: ICMP_PER_SECOND,
            masquerade: self.masquerade,
            primary: node::primary_addresses(&self.facts, &self.named()),
            zero: 0,
        });
    }
}

/// What an earlier agent of this node left in force.
fn left_over(settings: &Settings, netns: u64) -> Option<Left> {
    let addresses = || settings.primary.into_iter().filter(|addr| !addr.is_unspecified()).map(IpAddr::from).collect();
    let is_ours = settings.abi == ABI_VERSION && settings.netns == netns;
    is_ours.then(|| Left { addresses: addresses(), cluster_cidrs: settings.cluster_cidrs })
}

/// Before ServiceCIDR objects were listed: what is configured, else what an earlier agent left in force.
fn first_service_cidrs(left: &Settings, configured: &[IpNet]) -> [Cidr; SERVICE_CIDRS] {
    match configured {
        [] if left.abi == ABI_VERSION => left.service_cidrs,
        _ => node::service_cidrs(&[Cidr::NONE; SERVICE_CIDRS], configured),
    }
}

fn masquerade(config: &Config) -> Masquerade {
    let by_device = matches!(config.detector, Detector::Bridge(_) | Detector::NamePrefix(_));
    [
        (Masquerade::ALL, config.masquerade_all),
        (Masquerade::EXTERNAL, config.masquerade_external == MasqueradeExternal::Always),
        (Masquerade::BY_DEVICE, by_device),
    ]
    .into_iter()
    .filter(|(_, asked)| *asked)
    .fold(Masquerade::default(), |all, (one, _)| all.with(one))
}

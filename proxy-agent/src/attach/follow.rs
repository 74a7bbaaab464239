//! Keeps programs and their tables in step with what the node is: addresses, devices, routes, and the node object's addresses.

use super::attachments::{Attachments, DeviceState};
use super::facts::Facts;
use super::links::LinkError;
use super::netlink::Observation;
use super::node::{self, NodeTables};
use super::ports::Ports;
use super::sys;
use crate::config::{Config, NodePortAddresses};
use crate::maps::{MapError, NodeMaps};
use proxy_common::abi::{ABI_VERSION, Cidr, Config as Settings, SERVICE_CIDRS};
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

/// The node as programs know it.
pub struct Node {
    maps: NodeMaps,
    attachments: Attachments,
    serve: NodePortAddresses,
    cluster_cidrs: [Cidr; 2],
    service_cidrs: [Cidr; SERVICE_CIDRS],
    netns: u64,
    ports: Ports,
    object: Vec<IpAddr>,
    facts: Facts,
    devices: Vec<DeviceState>,
    /// Whether something of what is known is not in force: set before anything is written, cleared when all of it was.
    stale: bool,
}

impl Node {
    /// Nothing written or attached yet. Must be called in the namespace that is served.
    pub fn new(maps: NodeMaps, attachments: Attachments, config: &Config, ports: Ports) -> Result<Self, FollowError> {
        Ok(Self {
            maps,
            attachments,
            serve: config.node_port_addresses.clone(),
            cluster_cidrs: node::cluster_cidrs(&config.cluster_cidrs),
            service_cidrs: node::service_cidrs(&config.service_cidrs),
            netns: sys::netns_cookie().map_err(FollowError::Namespace)?,
            ports,
            object: Vec::new(),
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

    /// The node object's addresses changed (S39, S54).
    pub fn set_object(&mut self, addresses: Vec<IpAddr>) -> Result<(), FollowError> {
        if addresses == self.object && !self.stale {
            return Ok(());
        }
        self.object = addresses;
        self.retry()
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
        self.devices = self.attachments.follow(&self.facts, step)?;
        self.maps.set_devices(&self.tables().devices)?;
        self.stale = self.devices.iter().any(|device| device.may_mend);
        Ok(())
    }

    fn tables(&self) -> NodeTables {
        node::tables(&self.facts, &self.object, &self.serve, &self.attachments.xdp_devices())
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
            cluster_cidrs: self.cluster_cidrs,
            service_cidr_count: self.service_cidrs.iter().filter(|cidr| cidr.is_set()).count() as u32,
            service_cidrs: self.service_cidrs,
            ports: self.ports.ranges,
            port_count: self.ports.count,
            check_sockets: u32::from(self.ports.check_sockets),
            icmp_per_second: ICMP_PER_SECOND,
        });
    }
}

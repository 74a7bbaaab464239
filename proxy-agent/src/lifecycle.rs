//! From a bare node to attached programs and back: start, adoption of what an earlier agent left, and cleanup.
//!
//! A start never takes away what works: tables that are pinned are adopted, links are swapped one by one, and what the tables
//! say stays in force until the first full list is there to compare it with (S11).

use crate::attach::attachments::{Attachments, Policy};
use crate::attach::bpffs::{self, BpffsError};
use crate::attach::cgroup::{self, Cgroup, CgroupError};
use crate::attach::follow::{FollowError, Node};
use crate::attach::links::{self, LinkError, Links};
use crate::attach::netlink::{NetlinkError, Network};
use crate::attach::ports::{self, Ports};
use crate::attach::probe::{self, ProbeError};
use crate::attach::sys::Pinned;
use crate::attach::{programs, sys};
use crate::config::{Config, MasqueradeExternal, XdpMode};
use crate::fault::Fault;
use crate::maps::{self, Capacity, KernelMaps, LoadOptions, MapName, NodeMaps, PinError, Read};
use crate::serve::report::{Publisher, RUN_DIR, ReportError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the agent did not start. Each has an exit code of its own, listed in docs/operations.md.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Kernel or rights.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Another agent runs, or the run folder can't be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// No folder of pins.
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// No cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The mount table can't be read.
    #[error("can't read /proc/self/mountinfo: {0}; mount /proc, or give --cgroup")]
    Mounts(io::Error),
    /// The binary was built without programs.
    #[error("this binary carries no eBPF object: build it with `cargo xtask build`")]
    NoObject,
    /// Tables can't be made or adopted.
    #[error(transparent)]
    Maps(#[from] maps::LoadError),
    /// The node's tables can't be opened.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// The kernel refuses a program.
    #[error(transparent)]
    Programs(#[from] programs::LoadError),
    /// The node's network can't be observed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Programs can't be attached, or the node's tables not be written.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// Everything that stands once programs are attached.
pub struct Instance {
    /// The tables.
    pub maps: KernelMaps,
    /// The node as programs know it.
    pub node: Node,
    /// What observes the node.
    pub network: Network,
    /// Writes the report of the instance and holds its lock.
    pub publisher: Publisher,
}

/// Probes, adopts or makes the tables, writes what programs must know, attaches or swaps them.
pub async fn start(config: &Config, object: &[u8], fault: &Fault) -> Result<Instance, StartError> {
    probe::run()?;
    let publisher = Publisher::open(Path::new(RUN_DIR), &config.bpffs)?;
    bpffs::prepare(&config.bpffs)?;
    let cgroup = Cgroup::open(&cgroup_path(config)?)?;
    tracing::info!(cgroup = %cgroup.path.display(), pins = %config.bpffs.display(), "serving");
    if object.is_empty() {
        return Err(StartError::NoObject);
    }
    let options = LoadOptions {
        bpffs: &config.bpffs,
        capacity: config.capacity,
        checksum_ipv6: probe::kernel_knows("BPF_F_IPV6"),
        seed: None,
    };
    let (tables, mut ebpf) = maps::load(object, &options)?;
    say_kept(&config.capacity, &tables.capacity());
    fault.reach("maps");
    let programs = programs::load(&mut ebpf, &|name| wanted_program(config, name))?;
    drop(ebpf);
    fault.reach("programs");
    let node_maps = NodeMaps::open(&config.bpffs)?;
    leave_other_namespace(&node_maps, &config.bpffs)?;
    let links = Links::new(bpffs::links(&config.bpffs), programs, cgroup);
    let network = Network::open().await?;
    let mut node = Node::new(node_maps, Attachments::new(policy(config), links), config, masquerade_ports(config))?;
    node.write(network.facts())?;
    fault.reach("config");
    node.attach(&|link| fault.reach(link))?;
    fault.reach("links");
    Ok(Instance { maps: tables, node, network, publisher })
}

/// Tables that were there stay as large as they are: connections stand in them.
fn say_kept(wanted: &Capacity, found: &Capacity) {
    for map in MapName::ALL {
        if let (Some(wanted), Some(found)) = (wanted.of(*map), found.of(*map))
            && wanted != found
        {
            tracing::info!(
                "table {map} keeps its {found} entries; it gets the {wanted} that it would have now when the node starts again, or \
                 after `sluice cleanup`"
            );
        }
    }
}

fn masquerade_ports(config: &Config) -> Ports {
    if config.masquerade_ports.is_empty() { ports::from_proc() } else { ports::given(&config.masquerade_ports) }
}

/// What `sluice cleanup` took away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// Links, taken off their hooks.
    pub links: Vec<String>,
    /// Maps.
    pub maps: Vec<String>,
}

/// Removes links, maps and folders of the instance that `root` names: links first, so that no program is left without tables.
/// Holds the lock of the instance meanwhile; its file stays, or another process could take the lock of a file that is gone.
pub fn cleanup(root: &Path) -> Result<Removed, CleanupError> {
    if !bpffs::exists(root)? {
        return Ok(Removed::default());
    }
    let _lock = Publisher::open(Path::new(RUN_DIR), root).map_err(|error| match error {
        ReportError::Taken { bpffs } => CleanupError::Running(bpffs),
        other => CleanupError::Report(other),
    })?;
    let folder = bpffs::links(root);
    let links = bpffs::pins(&folder, Pinned::Link)?;
    for link in &links {
        links::remove(&folder, link)?;
    }
    let maps = bpffs::remove(root)?;
    crate::serve::report::remove(Path::new(RUN_DIR), root)?;
    Ok(Removed { links, maps })
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// The agent lives.
    #[error("an agent runs on the pins in {}; stop it first, then clean up", .0.display())]
    Running(PathBuf),
    /// A link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A map or a folder.
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// A file in the run folder.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl CleanupError {
    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Link(_) => 1,
            Self::Bpffs(_) => 13,
            Self::Running(_) => 15,
            Self::Report(_) => 16,
        }
    }
}

impl StartError {
    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Probe(ProbeError::KernelTooOld { .. }) => 10,
            Self::Probe(ProbeError::Capabilities(_)) => 11,
            Self::Probe(ProbeError::NoBtf) => 12,
            Self::Bpffs(_) => 13,
            Self::Cgroup(_) | Self::Mounts(_) => 14,
            Self::Report(ReportError::Taken { .. }) => 15,
            Self::Report(_) => 16,
            Self::Maps(_) | Self::Pins(_) => 17,
            Self::NoObject | Self::Programs(_) => 18,
            Self::Follow(FollowError::XdpRequired(_)) => 21,
            Self::Follow(_) => 19,
            Self::Netlink(_) => 20,
        }
    }
}

fn cgroup_path(config: &Config) -> Result<PathBuf, StartError> {
    match &config.cgroup {
        Some(path) => Ok(path.clone()),
        None => Ok(cgroup::find_mount(&std::fs::read_to_string("/proc/self/mountinfo").map_err(StartError::Mounts)?)?),
    }
}

fn policy(config: &Config) -> Policy {
    let external = config.masquerade_external == MasqueradeExternal::Always;
    let masquerades = config.detector.is_any() || config.masquerade_all || external;
    Policy { rules: config.devices.clone(), xdp: config.xdp, masquerades }
}

/// Programs that nobody will attach are not loaded: verifying them takes time and memory.
fn wanted_program(config: &Config, name: &str) -> bool {
    match name {
        "uplink_xdp" => config.xdp != XdpMode::Off,
        "pod_ingress" => policy(config).masquerades,
        _ => true,
    }
}

/// Links of an agent in another network namespace hang on devices that this one cannot see, whose indexes may be the same.
fn leave_other_namespace(maps: &NodeMaps, root: &Path) -> Result<(), StartError> {
    let former = maps.config().netns;
    if former == 0 || former == sys::netns_cookie().map_err(FollowError::Namespace)? {
        return Ok(());
    }
    let folder = bpffs::links(root);
    for pin in links::pins(&folder).map_err(FollowError::Link)?.iter().filter(|pin| !cgroup::is_pin(pin)) {
        links::remove(&folder, pin).map_err(FollowError::Link)?;
        tracing::warn!(link = pin, "removed: it was attached in another network namespace");
    }
    Ok(())
}

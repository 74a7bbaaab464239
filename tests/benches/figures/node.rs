//! A node with nothing on it but its tables, its programs and one uplink: what packets are fed to.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use aya::Ebpf;
use proxy_agent::attach::bpffs;
use proxy_agent::maps::{Capacity, Flows, KernelFlows, KernelMaps, LoadOptions, MapName, NodeMaps, load};
use proxy_agent::sync::Renewal;
use proxy_agent::sync::Sync;
use proxy_agent::table::{Change, WantedBackend, WantedService};
use proxy_common::abi::{
    Addr, AddressFlags, BackendState, DeviceFlags, Family, FrontendKey, FrontendKind, Port, PortRange, Proto, ServiceName,
};
use proxy_common::lb::Class;
use sluice_tests::netns::Netns;
use sluice_tests::{Rig, xdp_pass};

/// The node's address on its uplink, another node's and the client's.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OTHER_NODE: &str = "192.0.2.2";
/// Who dials.
pub const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 100), 40_000);
/// A NodePort whose one backend is on this node.
pub const TO_LOCAL: SocketAddrV4 = SocketAddrV4::new(NODE, 30_007);
/// A NodePort whose one backend is on the other node.
pub const TO_REMOTE: SocketAddrV4 = SocketAddrV4::new(NODE, 30_008);
/// The backend on this node.
pub const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, 10), 8_080);
/// The backend on the other node.
pub const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 244, 1, 10), 8_080);
/// Ports for translated sources, out of everybody's way.
const PORTS: PortRange = PortRange { first: 1_024, count: 28_000 };
const UPLINK: &str = "eth0";
const FAR: &str = "far";

/// The node.
pub struct Node {
    /// The programs, not yet loaded.
    pub ebpf: Ebpf,
    /// The tables.
    pub tables: Sync<KernelMaps>,
    /// Index of the uplink.
    pub device: u32,
    rig: Rig,
    netns: Netns,
}

impl Node {
    /// Makes the node's namespace and uplink and brings the object's tables into the kernel.
    pub fn make(object: &Path) -> Result<Self> {
        let rig = Rig::new("bench")?;
        let netns = rig.netns("node")?;
        netns.sysctl("net/ipv4/ip_forward", "1")?;
        netns.ip(&format!(
            "link add {UPLINK} address 02:00:00:00:00:01 type veth peer name {FAR} address 02:00:00:00:00:02
             link set {UPLINK} up
             link set {FAR} up
             addr add {NODE}/24 dev {UPLINK}
             neigh add {OTHER_NODE} lladdr 02:00:00:00:00:02 dev {UPLINK} nud permanent
             neigh add {} lladdr 02:00:00:00:00:03 dev {UPLINK} nud permanent
             route add 10.244.1.0/24 via {OTHER_NODE}",
            CLIENT.ip()
        ))?;
        for device in [UPLINK, FAR] {
            xdp_pass::attach(&netns, device, &rig.pins("pass"))?;
        }
        let device = netns.enter(|| nix::net::if_::if_nametoindex(UPLINK))??;
        let (maps, ebpf) = bring_in(object, &rig.pins("node"))?;
        set_node(&rig.pins("node"), device)?;
        let (tables, _) = Sync::adopt(maps)?;
        Ok(Self { ebpf, tables, device, rig, netns })
    }

    /// The two Services, each with a NodePort and one backend.
    pub fn add_services(&mut self) -> Result<()> {
        let services = [("local", TO_LOCAL, LOCAL, true), ("remote", TO_REMOTE, REMOTE, false)];
        let changes = services.map(|(name, front, back, local)| node_port(name, front, back, local).map(Change::Set));
        let applied = self.tables.apply(changes.into_iter().collect::<Result<_>>()?);
        if !applied.rejected.is_empty() {
            bail!("the tables took no service: {:?}", applied.rejected);
        }
        Ok(())
    }

    /// Runs `work` in the node's namespace.
    pub fn enter<T: Send>(&mut self, work: impl FnOnce(&mut Self) -> T + Send) -> Result<T> {
        self.netns.clone().enter(|| work(self))
    }

    /// Takes the programs off both ends of the uplink and returns the index of the far one.
    pub fn clear_uplink(&self) -> Result<u32> {
        for device in [UPLINK, FAR] {
            self.netns.ip(&format!("link set {device} xdpdrv off"))?;
        }
        Ok(nix::net::if_::if_nametoindex(FAR)?)
    }

    /// Ends all TCP flows.
    pub fn forget_flows(&mut self) -> Result<()> {
        let flows = KernelFlows::open(&self.rig.pins("node"))?;
        for table in [MapName::Flows, MapName::FlowsSpill] {
            let mut keys = Vec::new();
            flows.walk(table, &mut |found, _| keys.extend_from_slice(found))?;
            flows.remove(table, &keys)?;
        }
        let mut clients = Vec::new();
        flows.walk_connections(&mut |found, _| clients.extend_from_slice(found))?;
        flows.remove_connections(&clients)?;
        let mut renewal = Renewal::default();
        (0..6).try_for_each(|_| renewal.step(&flows))?;
        flows.count_embryonic(Class::Tcp, flows.room(Class::Tcp).embryonic.cast_signed().wrapping_neg());
        Ok(())
    }
}

/// The object's tables, pinned below `pins`, and its programs.
pub fn bring_in(object: &Path, pins: &Path) -> Result<(KernelMaps, Ebpf)> {
    let bytes = fs::read(object).with_context(|| format!("{}: run `cargo xtask build`", object.display()))?;
    bpffs::prepare(pins)?;
    let options = LoadOptions { bpffs: pins, capacity: Capacity::for_this_machine(), checksum_ipv6: true, seed: None };
    Ok(load(&bytes, &options)?)
}

/// Where the objects lie: given by `cargo xtask bench`, which has built them.
pub fn object(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ebpf").join(name)
}

fn set_node(pins: &Path, device: u32) -> Result<()> {
    let mut node = NodeMaps::open(pins)?;
    let mut config = node.config();
    config.epoch = 1;
    config.ports[0] = PORTS;
    config.port_count = PORTS.count.into();
    node.set_config(config);
    let flags = AddressFlags::LOCAL.with(AddressFlags::NODE_PORT);
    node.set_addresses(&[(Addr::from(IpAddr::V4(NODE)), flags)].into())?;
    node.set_devices(&[(device, DeviceFlags::XDP_TARGET)].into())?;
    Ok(())
}

fn node_port(name: &str, front: SocketAddrV4, back: SocketAddrV4, local: bool) -> Result<WantedService> {
    let name = ServiceName::new("default", name, "", Proto::TCP, Family::V4).context("a name that is too long")?;
    let key = FrontendKey::new(Family::V4.any(), Port::new(front.port()), Proto::TCP);
    let backend = WantedBackend {
        addr: IpAddr::V4(*back.ip()).into(),
        port: Port::new(back.port()),
        local,
        state: BackendState::SERVING.with(BackendState::IN_CLUSTER),
    };
    Ok(WantedService::new(name, vec![(key, FrontendKind::NODE_PORT)], vec![backend]))
}

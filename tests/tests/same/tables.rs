//! Services that come, change and go while packets arrive. The agent's own code writes them; the native body reads the same maps.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use ipnet::IpNet;
use proxy_agent::maps::{KernelMaps, Read};
use proxy_agent::sync::Sync;
use proxy_agent::table::{Change, WantedBackend, WantedService};
use proxy_common::abi::{
    self, BackendId, BackendState, FrontendKey, FrontendKind, Port, Proto, ServiceFlags, ServiceId, ServiceName,
};
use proxy_common::testing::Memory;
use sluice_tests::Family;

use super::dice::Dice;
use super::node::at;

/// The Services of one family.
pub struct Tables {
    sync: Sync<KernelMaps>,
    services: Vec<Service>,
    family: Family,
}

/// One Service.
#[derive(Clone, Debug)]
pub struct Service {
    name: ServiceName,
    /// TCP or UDP.
    pub proto: Proto,
    /// The ClusterIP.
    pub cluster: SocketAddr,
    /// The NodePort.
    pub node_port: u16,
    /// A load balancer's address.
    pub balanced: SocketAddr,
    /// One of its externalIPs.
    pub external: SocketAddr,
    affinity: u32,
    sources: Option<Vec<IpNet>>,
    backends: Vec<WantedBackend>,
    policies: ServiceFlags,
}

const SERVICES: u8 = 7;
/// Seconds of affinity: none, one that ends during a run, and the API's default.
const AFFINITIES: [u32; 4] = [0, 0, 1, 10_800];
/// Numbers of endpoints; the last one is of the Service that has none most of the time.
const SIZES: [usize; SERVICES as usize] = [1, 1, 1, 3, 3, 100, 0];

impl Tables {
    /// Takes over the tables and puts the first Services there.
    pub fn new(maps: KernelMaps, family: Family, dice: &mut Dice) -> Result<Self> {
        let (sync, _) = Sync::adopt(maps)?;
        let mut tables = Self { sync, services: Vec::new(), family };
        for proto in [Proto::TCP, Proto::UDP] {
            for number in 0..SERVICES {
                tables.services.push(service(family, proto, number)?);
            }
        }
        for index in 0..tables.services.len() {
            tables.services[index].sources = sources(family, dice)?;
            tables.set(index, SIZES[index % SIZES.len()], dice)?;
        }
        Ok(tables)
    }

    /// What can be dialled.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Changes one Service: its endpoints, their states, for how long a client keeps one, or whether it is there at all.
    pub fn change(&mut self, dice: &mut Dice) -> Result<()> {
        let index = dice.below(self.services.len());
        self.services[index].affinity = dice.pick(&AFFINITIES);
        self.services[index].sources = sources(self.family, dice)?;
        match dice.below(10) {
            0 => self.apply(Change::Remove(self.services[index].name.into())),
            1..=3 => {
                for backend in &mut self.services[index].backends {
                    backend.state = state(backend.local, dice);
                }
                self.apply(self.services[index].wanted(self.family))
            }
            4 => self.set(index, dice.pick(&[0, 1, 3, 100]), dice),
            _ => self.set(index, SIZES[index % SIZES.len()], dice),
        }
    }

    /// Gives the native body what the programs read.
    pub fn copy_to(&self, memory: &mut Memory) -> Result<()> {
        let maps = self.sync.maps();
        let capacity = maps.capacity();
        memory.frontends = maps.frontends()?.into_iter().collect();
        memory.dialled.extend(memory.frontends.keys().map(|key| key.addr.interest()));
        memory.services = (0..capacity.services).map(|id| maps.service(ServiceId(id))).collect();
        memory.descriptors = (0..capacity.descriptors).map(|index| maps.descriptor(index)).collect();
        memory.slots = (0..capacity.slots).map(|index| maps.slot(index)).collect();
        memory.backends = (0..capacity.backends).map(|id| maps.backend(BackendId(id))).collect();
        memory.states = (0..capacity.backends).map(|id| maps.backend_state(BackendId(id))).collect();
        memory.ranges = maps.source_ranges()?.into_iter().collect();
        Ok(())
    }

    fn set(&mut self, index: usize, size: usize, dice: &mut Dice) -> Result<()> {
        let mut backends: Vec<WantedBackend> = (0..size).map(|_| endpoint(self.family, size, dice)).collect();
        backends.sort_unstable_by_key(|backend| (backend.addr, backend.port));
        backends.dedup_by_key(|backend| (backend.addr, backend.port));
        self.services[index].backends = backends;
        self.apply(self.services[index].wanted(self.family))
    }

    /// No program runs in between, so the grace period ends as soon as it begins.
    fn apply(&mut self, change: Change) -> Result<()> {
        let applied = self.sync.apply(vec![change]);
        ensure!(applied.rejected.is_empty(), "{:?}", applied.rejected);
        if let Some(token) = self.sync.retired_pending() {
            self.sync.grace_ended(token);
        }
        Ok(())
    }
}

impl Service {
    fn wanted(&self, family: Family) -> Change {
        let any = match family {
            Family::V4 => abi::Family::V4.any(),
            Family::V6 => abi::Family::V6.any(),
        };
        let cluster = FrontendKey::new(self.cluster.ip().into(), Port::new(self.cluster.port()), self.proto);
        let node_port = FrontendKey::new(any, Port::new(self.node_port), self.proto);
        let balanced = FrontendKey::new(self.balanced.ip().into(), Port::new(self.balanced.port()), self.proto);
        let external = FrontendKey::new(self.external.ip().into(), Port::new(self.external.port()), self.proto);
        let mut frontends = vec![
            (cluster, FrontendKind::CLUSTER_IP),
            (node_port, FrontendKind::NODE_PORT),
            (balanced, FrontendKind::LOAD_BALANCER),
            (external, FrontendKind::EXTERNAL_IP),
        ];
        // TCP's Service and UDP's have one ClusterIP, and one of them what is left of it.
        if self.proto == Proto::TCP {
            frontends.push((FrontendKey::rest_of(cluster.addr), FrontendKind::CLUSTER_REST));
        }
        frontends.sort_unstable_by_key(|(key, _)| *key);
        let wanted = WantedService::new(self.name, frontends, self.backends.clone());
        let (flags, sources) = (wanted.flags.with(self.policies), self.sources.clone());
        Change::Set(WantedService { flags, sources, affinity: self.affinity, ..wanted })
    }
}

fn service(family: Family, proto: Proto, number: u8) -> Result<Service> {
    let abi_family = match family {
        Family::V4 => abi::Family::V4,
        Family::V6 => abi::Family::V6,
    };
    let name = ServiceName::new("same", &format!("s{number}"), "", proto, abi_family);
    let name = name.ok_or_else(|| anyhow::anyhow!("a name that is too long"))?;
    let cluster = SocketAddr::new(at(family, 96, u16::from(number) + 1), 80);
    let policies = match number {
        1 => ServiceFlags::EXTERNAL_LOCAL,
        3 | 5 => ServiceFlags::MAGLEV,
        4 => ServiceFlags::INTERNAL_LOCAL.with(ServiceFlags::EXTERNAL_LOCAL),
        _ => ServiceFlags::default(),
    };
    let balanced = SocketAddr::new(at(family, 98, u16::from(number) + 1), 80);
    let external = SocketAddr::new(at(family, 99, u16::from(number) + 1), 80);
    let node_port = 30_000 + u16::from(number);
    let (affinity, sources, backends) = (0, None, Vec::new());
    Ok(Service { name, proto, cluster, node_port, balanced, external, affinity, sources, backends, policies })
}

/// Who may dial a load balancer's address: everybody, nobody, half of the clients behind the router, or those and the node.
fn sources(family: Family, dice: &mut Dice) -> Result<Option<Vec<IpNet>>> {
    let all = if family == Family::V4 { 32 } else { 128 };
    let clients = IpNet::new(at(family, 30, 4), all - 2)?;
    let node = IpNet::new(at(family, 20, 1), all)?;
    Ok(match dice.below(6) {
        0 | 1 => None,
        2 => Some(Vec::new()),
        3 => Some(vec![clients]),
        _ => Some(vec![node, clients]),
    })
}

const fn serving(local: bool) -> BackendState {
    BackendState::SERVING.with(BackendState::IN_CLUSTER).with(BackendState::IN_LOCAL.when(local))
}

fn state(local: bool, dice: &mut Dice) -> BackendState {
    if dice.chance(70) { serving(local) } else { BackendState::SERVING }
}

/// An endpoint. Those of small Services come from a small pool, so that Services share endpoints.
fn endpoint(family: Family, size: usize, dice: &mut Dice) -> WantedBackend {
    let hosts = if size > 3 { 60 } else { 2 };
    let net = match dice.below(20) {
        0..=6 => 1,
        7..=12 => 2,
        13 => 3,
        14 => 4,
        15 => 5,
        16..=17 => 6,
        18 if family == Family::V4 => 7,
        _ => 20,
    };
    let host = 1 + dice.below(if net == 20 { 2 } else { hosts }) as u16;
    let addr: IpAddr = at(family, net, host);
    let local = net == 1 || (net, host) == (20, 1);
    let port = Port::new(if size > 3 { dice.pick(&[8080, 9090]) } else { 8080 });
    WantedBackend { addr: addr.into(), port, local, state: serving(local) }
}

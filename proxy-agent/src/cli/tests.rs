//! What commands print, as goldens in `goldens/`: each was read by a person at 80 columns before it was committed. Set
//! `SLUICE_BLESS=1` to write them anew, then read the difference.

use super::filter::Filter;
use super::output::Format;
use super::status::{PinnedLink, Status, Table};
use super::{backends, flows, services};
use crate::maps::{Capacity, Maps, MemoryMaps, Read, ServiceView, source_range};
use crate::serve::report::{Device, Rejection, Report, ServiceCidrs, Source, Warning};
use bytemuck::Zeroable;
use jiff::Timestamp;
use proxy_common::abi::*;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;

const WIDTH: Option<u16> = Some(80);

/// Tables in memory, filled as `sync` would.
struct Fixture {
    maps: MemoryMaps,
    names: HashMap<ServiceId, ServiceName>,
    next_slot: u32,
    next_backend: u32,
}

impl Fixture {
    fn new() -> Self {
        let capacity = Capacity { services: 16, slots: 64, backends: 64, descriptors: 16, ..Capacity::for_memory(0) };
        Self { maps: MemoryMaps::new(capacity), names: HashMap::new(), next_slot: 8, next_backend: 1 }
    }

    /// A service port; of the backends `(address, local, chosen)` those that new connections choose come first.
    fn add(&mut self, id: u32, name: ServiceName, frontends: &[(&str, FrontendKind)], backends: &[(&str, bool, bool)]) {
        let chosen = backends.iter().filter(|(_, _, chosen)| *chosen).count() as u32;
        let room = if backends.is_empty() { 0 } else { (backends.len() as u32).next_power_of_two() };
        let first = self.next_slot;
        let flags = ServiceFlags::ENDPOINTS.when(chosen > 0);
        let cluster = SlotRange { first, count: chosen };
        self.maps.set_descriptor(id, Descriptor { first, room, cluster, flags, ..Descriptor::default() });
        for (place, (address, local, chosen)) in backends.iter().enumerate() {
            let backend = BackendId(self.next_backend);
            let SocketParts { addr, port } = parts(address);
            let flags = if *local { BackendFlags::LOCAL } else { BackendFlags::default() };
            let serving = BackendState::SERVING;
            self.maps.set_backend(backend, Backend { addr, port, flags, generation: Generation(1) });
            self.maps.set_backend_state(backend, if *chosen { serving.with(BackendState::IN_CLUSTER) } else { serving });
            self.maps.set_slot(self.next_slot + place as u32, backend);
            self.next_backend += 1;
        }
        self.next_slot += 8;
        let entries: Vec<_> = frontends
            .iter()
            .map(|(address, kind)| {
                let SocketParts { addr, port } = parts(address);
                (FrontendKey::new(addr, port, name.proto), Frontend { service: ServiceId(id), kind: *kind })
            })
            .collect();
        self.maps.insert_frontends(&entries).unwrap();
        self.maps.set_name(ServiceId(id), name);
        self.maps.set_service(ServiceId(id), ServiceWord::of(id));
        self.names.insert(ServiceId(id), name);
    }

    /// Its external policy is Local, and its first backend alone is on this node.
    fn make_local(&mut self, id: u32) {
        let held = self.maps.descriptor(id);
        let flags = held.flags.with(ServiceFlags::EXTERNAL_LOCAL);
        let local = SlotRange { first: held.first, count: 1 };
        self.maps.set_descriptor(id, Descriptor { local, flags, affinity: 10_800_000, ..held });
    }

    /// Its endpoints are chosen by client: the first slot's backend has the second, too.
    fn choose_by_client(&mut self, id: u32) {
        let held = self.maps.descriptor(id);
        let cluster = SlotRange { first: held.first, count: 2 };
        self.maps.set_slot(held.first + 1, self.maps.slot(held.first));
        self.maps.set_descriptor(id, Descriptor { room: 2, cluster, flags: held.flags.with(ServiceFlags::MAGLEV), ..held });
    }

    /// Its load balancer is for these sources alone.
    fn restrict(&mut self, id: u32, sources: &[&str]) {
        let set = RangeSet(id);
        let ranges: Vec<_> = sources.iter().map(|text| source_range(set, text.parse().unwrap())).collect();
        self.maps.insert_source_ranges(&ranges).unwrap();
        self.maps.set_descriptor(id, Descriptor { sources: set, ..self.maps.descriptor(id) });
    }

    fn views(&self) -> Vec<ServiceView> {
        crate::maps::services(&self.maps).unwrap()
    }
}

struct SocketParts {
    addr: Addr,
    port: Port,
}

fn parts(text: &str) -> SocketParts {
    let socket: SocketAddr = text.parse().unwrap();
    SocketParts { addr: Addr::from(socket.ip()), port: Port::new(socket.port()) }
}

fn name(namespace: &str, name: &str, port: &str, proto: Proto, family: Family) -> ServiceName {
    ServiceName::new(namespace, name, port, proto, family).unwrap()
}

const CLUSTER_IP: FrontendKind = FrontendKind::CLUSTER_IP;
const NODE_PORT: FrontendKind = FrontendKind::NODE_PORT;

fn cluster() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.add(
        1,
        name("default", "hello-k8s", "http", Proto::TCP, Family::V4),
        &[("10.96.120.7:80", CLUSTER_IP), ("0.0.0.0:30007", NODE_PORT)],
        &[("10.244.1.5:8080", true, true), ("10.244.2.7:8080", false, true), ("10.244.2.6:8080", false, false)],
    );
    fixture.add(
        2,
        name("default", "hello-k8s", "http", Proto::TCP, Family::V6),
        &[("[fd00:10:96::7807]:80", CLUSTER_IP), ("[::]:30007", NODE_PORT)],
        &[("[fd00:10:244:1::5]:8080", true, true), ("[fd00:10:244:2::7]:8080", false, true)],
    );
    fixture.make_local(1);
    fixture.make_local(2);
    fixture.restrict(1, &["203.0.113.0/24", "10.0.0.0/8"]);
    fixture.restrict(2, &[]);
    fixture.add(
        3,
        name("kube-system", "kube-dns", "dns", Proto::UDP, Family::V4),
        &[("10.96.0.10:53", CLUSTER_IP)],
        &[("10.244.1.2:53", true, true)],
    );
    fixture.choose_by_client(3);
    fixture.add(4, name("vote", "db", "", Proto::TCP, Family::V4), &[("10.96.44.1:5432", CLUSTER_IP)], &[]);
    fixture
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn report() -> Report {
    let device = |name: &str, edge: &str, reason: &str| Device {
        name: name.into(),
        index: 2,
        edge: edge.into(),
        reason: reason.into(),
        failures: Vec::new(),
        notes: Vec::new(),
    };
    Report {
        version: "0.1.0".into(),
        pid: 4711,
        started: at(-11_000),
        written: at(-3),
        node: "node-a".into(),
        cgroup: "/sys/fs/cgroup".into(),
        source: Source {
            origin: "https://10.0.0.1:6443".into(),
            connected: true,
            since: at(-7_000),
            synced: Some(at(-10_999)),
            last_event: Some(at(-12)),
            lists: BTreeMap::from([("Service".into(), "streamed".into()), ("Node".into(), "streamed".into())]),
            troubles: Vec::new(),
        },
        service_cidrs: ServiceCidrs { from_objects: true, prefixes: vec!["10.96.0.0/16".into(), "fd00:96::/112".into()] },
        lag_ms: 0,
        healthz: Some("0.0.0.0:10256".into()),
        metrics: Some("127.0.0.1:10249".into()),
        rejections: vec![Rejection {
            kind: "EndpointSlice".into(),
            namespace: "vote".into(),
            name: "db-x7k2p".into(),
            service: Some("db".into()),
            reason: "endpoint_address".into(),
            message: "endpoint 127.0.0.1: a loopback address; it is left out".into(),
        }],
        devices: vec![
            device("lo", "none", "the loopback device"),
            device("eth0", "uplink", "a route with a gateway leaves by it"),
            device("vxlan.calico", "overlay", "a tunnel to other nodes"),
            device("cali1f2e3d4c5b6", "pod", "its peer is in another network namespace"),
        ],
        warnings: Vec::new(),
    }
}

fn status(running: bool, report: Option<Report>) -> Status {
    let sockets = ["connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6"];
    let link = |hook: &str, device: Option<&str>, alive| PinnedLink {
        hook: hook.into(),
        device: device.map(Into::into),
        program: Some(33),
        alive,
    };
    let mut links: Vec<_> = sockets.iter().map(|hook| link(hook, None, true)).collect();
    links.extend([
        link("edge_egress", Some("eth0"), true),
        link("edge_egress", Some("vxlan.calico"), true),
        link("edge_ingress", Some("eth0"), true),
        link("edge_ingress", Some("vxlan.calico"), false),
        link("uplink_xdp", Some("eth0"), true),
    ]);
    let table = |map, used, capacity| Table { map, used, capacity };
    let tables = vec![table("SERVICES", 4, 65_536), table("FLOWS", 130_000, 131_072)];
    Status { bpffs: "/sys/fs/bpf/sluice".into(), running, report, links, tables }
}

fn flow_entries() -> Vec<(Tuple, Flow)> {
    let base = FlowFlags::FORWARD.with(FlowFlags::ESTABLISHED);
    [
        pair(1, ["192.168.1.10:43210", "10.0.0.1:30007", "192.168.1.10:43210", "10.244.1.5:8080"], base, 9_000),
        pair(
            1,
            ["192.168.1.11:50000", "10.0.0.1:30007", "10.0.0.1:1025", "10.244.2.7:8080"],
            base.with(FlowFlags::MASQUERADE),
            10_000,
        ),
        pair(
            2,
            ["[2001:db8:0:1::c1]:43210", "[2001:db8::a]:30007", "[2001:db8::a]:61003", "[fd00:10:244:2::7]:8080"],
            base.with(FlowFlags::MASQUERADE).with(FlowFlags::FIN),
            4_000,
        ),
    ]
    .concat()
}

fn pair(service: u32, [client, frontend, source, backend]: [&str; 4], flags: FlowFlags, seen: u32) -> Vec<(Tuple, Flow)> {
    let tuple = |from: &str, to: &str| {
        let (from, to) = (parts(from), parts(to));
        Tuple::new(from.addr, from.port, to.addr, to.port, Proto::TCP)
    };
    let (key, to) = (tuple(client, frontend), tuple(source, backend));
    let forward = Flow { to, service: ServiceId(service), flags, seen, ..Flow::zeroed() };
    let back = Flow { to: key.reversed(), flags: FlowFlags::ANSWERED, ..forward };
    vec![(key, forward), (to.reversed(), back)]
}

fn golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/goldens").join(file);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&path, format!("{text}\n")).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(format!("{text}\n"), wanted, "{file}");
}

fn narrow(file: &str, text: &str) {
    let longest = text.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{longest:?} columns:\n{text}");
    golden(file, text);
}

#[test]
fn services_listing() {
    let views: Vec<_> = cluster().views().into_iter().zip([120, 7, 1_234_567, 0]).collect();
    let listing = services::Listing::new(&views, Some(&report()));
    narrow("services.txt", &listing.render(Format::Table, WIDTH));
    golden("services-wide.txt", &listing.render(Format::Wide, WIDTH));
    golden("services.json", &serde_json::to_string_pretty(&listing).unwrap());
    let empty = services::Listing::new(&[], None);
    assert_eq!(empty.render(Format::Table, WIDTH), "No Service is in force.");
}

#[test]
fn backends_listing() {
    let listing = backends::Listing::new(&cluster().views());
    narrow("backends.txt", &listing.render(Format::Table, WIDTH));
    golden("backends-wide.txt", &listing.render(Format::Wide, WIDTH));
    golden("backends.json", &serde_json::to_string_pretty(&listing).unwrap());
}

#[test]
fn flows_listing() {
    let (cluster, now) = (cluster(), 12_345);
    let all = |limit| flows::Listing::new(&flow_entries(), &cluster.names, &Filter::default(), limit, now);
    narrow("flows.txt", &all(0).render(Format::Table, WIDTH));
    golden("flows-wide.txt", &all(0).render(Format::Wide, WIDTH));
    golden("flows.json", &serde_json::to_string_pretty(&all(0)).unwrap());
    assert_eq!((all(2).flows.len(), all(2).left_out), (2, 1));
    let client = Some("192.168.1.0/24".parse().unwrap());
    let filter = Filter { client, service: Some("default/hello-k8s:http".parse().unwrap()) };
    assert_eq!(flows::Listing::new(&flow_entries(), &cluster.names, &filter, 0, now).flows.len(), 2);
}

#[test]
fn status_while_it_runs() {
    narrow("status.txt", &status(true, Some(report())).render(Format::Table, WIDTH, at(0)));
    golden("status-wide.txt", &status(true, Some(report())).render(Format::Wide, WIDTH, at(0)));
    golden("status.json", &serde_json::to_string_pretty(&status(true, Some(report()))).unwrap());
}

#[test]
fn status_while_the_api_is_away_says_since_when() {
    let mut away = report();
    away.source.connected = false;
    away.source.since = at(-90);
    away.source.troubles = vec!["watch of Services: can't reach the API server; check that it runs (retrying)".into()];
    away.source.lists.insert("EndpointSlice".into(), "paged".into());
    away.source.lists.insert("ServiceCIDR".into(), "absent".into());
    away.service_cidrs.from_objects = false;
    narrow("status-away.txt", &status(true, Some(away)).render(Format::Table, WIDTH, at(0)));
}

#[test]
fn status_says_what_a_device_does_without() {
    let mut without = report();
    without.devices[3].notes = vec!["can't attach uplink_xdp-eth1".into()];
    let text = status(true, Some(without)).render(Format::Table, WIDTH, at(0));
    assert!(text.contains("namespace\n                                             can't attach uplink_xdp-eth1\n"), "{text}");
    assert!(!text.contains("attach_failed"), "{text}");
}

#[test]
fn status_of_an_agent_that_is_down() {
    let mut last = report();
    last.lag_ms = 1_500;
    last.source.connected = false;
    last.source.troubles = vec!["watch of Services: can't reach the API server; check that it runs (retrying)".into()];
    last.warnings = vec![Warning { condition: "no_forwarding_ipv4".into(), message: "IPv4 forwarding is off".into() }];
    narrow("status-down.txt", &status(false, Some(last)).render(Format::Table, WIDTH, at(600)));
    narrow("status-no-report.txt", &status(false, None).render(Format::Table, WIDTH, at(600)));
}

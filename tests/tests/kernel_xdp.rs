//! XDP at the uplinks of nodes on a wire that behaves like a physical one: the fast path forwards by itself, and no packet
//! is translated twice.
//!
//! Offload is turned on and off at all hosts, the outside client's included: what it leaves to its card, the wire's end completes
//! before it arrives, as on every wire. Only that end has its offload off throughout.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_agent::maps::Reader;
use proxy_common::abi::DeviceFlags;
use serde_json::Value;
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::{Hooks, Moved};
use sluice_tests::scenario::{POD_PORT, Target};
use sluice_tests::sniff::Icmp;
use sluice_tests::traffic::{self, Close, Held, HeldReport, Probe};
use sluice_tests::wire::Wire;
use sluice_tests::{Agent, Family, Host, PodNetwork, Proto, Scenario, Spec};

const FLAGS: [&str; 2] = ["--xdp", "require"];
const ONE_BACKEND: [Target; 2] = [Target::Near, Target::Far];

/// Who translates.
#[derive(Clone, Copy, Debug)]
enum By {
    /// XDP, both ways.
    Xdp,
    /// XDP what comes in, and tc the replies of the local backend.
    XdpAndTc,
    /// tc, both ways: XDP cannot send where the backend is.
    Tc,
}

/// What is dialled at which node.
#[derive(Clone, Copy)]
enum Address {
    NodePort(usize),
    ClusterIp,
}

/// A client that comes in by the wire.
#[derive(Clone, Copy)]
struct Case<'a> {
    client: &'a Host,
    address: Address,
    target: Target,
    by: By,
    masqueraded: bool,
}

#[test]
fn routed_from_the_wire_and_from_the_node() -> Result<()> {
    matrix(PodNetwork::Routed)
}

#[test]
fn bridged_from_the_wire_and_from_the_node() -> Result<()> {
    matrix(PodNetwork::Bridged)
}

#[test]
fn overlay_from_the_wire_and_from_the_node() -> Result<()> {
    matrix(PodNetwork::Overlay)
}

#[test]
fn a_cluster_ip_with_a_detector_is_masqueraded_by_xdp_where_it_can_send() -> Result<()> {
    let detector = format!("{POD_CIDR_V4},{POD_CIDR_V6}");
    let flags = [FLAGS[0], FLAGS[1], "--cluster-cidr", &detector];
    let scenario = Scenario::start_on_physical_wire("xdp-detector", Spec::new(PodNetwork::Bridged), &flags)?;
    let cases = [(Target::Near, By::Tc), (Target::Far, By::Xdp)].map(|(target, by)| Case {
        client: scenario.cluster.outside(),
        address: Address::ClusterIp,
        target,
        by,
        masqueraded: true,
    });
    expect_all(&scenario, &cases, &[(&scenario.client, 0)])
}

#[test]
fn without_an_endpoint_tc_refuses() -> Result<()> {
    let scenario = Scenario::start_on_physical_wire("xdp-refused", Spec::new(PodNetwork::Routed), &FLAGS)?;
    let outside = scenario.cluster.outside();
    let before = Hooks::of(&scenario.agents[0])?;
    for (family, proto) in families_and_protocols() {
        let to = scenario.node_port(0, Target::Nobody, family);
        let sniffer = outside.sniff()?;
        let case = format!("{to} {proto}");
        expect::refused_by_icmp(&case, &outside.probe(Probe::times(proto, to, 2))?, proto)?;
        let capture = sniffer.finish()?;
        capture.expect_sound().context(case.clone())?;
        let unreachable = if family == Family::V4 { Icmp { kind: 3, code: 3 } } else { Icmp { kind: 1, code: 4 } };
        let errors = capture.received(|seen| seen.icmp == Some(unreachable) && seen.source == to.ip()).count();
        ensure!(
            errors == 2 || (proto == Proto::Tcp && (3..=4).contains(&errors)),
            "{case}: {errors} ICMP errors from the dialled address"
        );
    }
    let moved = before.moved(&scenario.agents[0])?;
    ensure!(moved.deferred >= 8, "{}", moved.all);
    moved.expect_nothing()
}

#[test]
fn generic_xdp_serves_on_request() -> Result<()> {
    let flags = ["--xdp", "generic"];
    let scenario = Scenario::start_on_physical_wire("xdp-generic", Spec::new(PodNetwork::Routed), &flags)?;
    let (client, address) = (scenario.cluster.outside(), Address::NodePort(0));
    let case = Case { client, address, target: Target::Far, by: By::Xdp, masqueraded: true };
    expect_all(&scenario, &[case], &[(&scenario.client, 0)])
}

#[test]
fn connections_go_on_by_tc_while_xdp_is_off_and_then_at_xdp_again() -> Result<()> {
    let mut scenario = Scenario::start_on_physical_wire("xdp-off", Spec::new(PodNetwork::Routed), &FLAGS)?;
    let target = |(family, proto)| {
        let to = scenario.node_port(0, Target::Far, family);
        traffic::Target::named(format!("{to} {proto}"), proto, to)
    };
    let targets: Vec<_> = families_and_protocols().map(target).collect();
    let held = Held { count: 8, targets, bind: None, interval_ms: 50, timeout_ms: 3000 };
    let held = scenario.cluster.outside().hold(held)?;
    let capabilities = capabilities_of_the_daemon_set()?;
    // Taken off, attached and swapped with no more rights than on a cluster.
    for mode in ["off", "require", "require"] {
        scenario.agents[0].kill()?;
        scenario.agents[0] = Agent::for_node(&scenario.cluster, 0, scenario.manifests.path(), &["--xdp", mode]);
        scenario.agents[0].limit_capabilities(&capabilities);
        scenario.agents[0].start()?;
        let before = Hooks::of(&scenario.agents[0])?;
        thread::sleep(Duration::from_millis(500));
        let moved = before.moved(&scenario.agents[0])?;
        ensure!(moved.flows == 0, "{mode}: {}", moved.all);
        ensure!((moved.xdp > 0, moved.tc_ingress > 0) == (mode != "off", mode == "off"), "{mode}: {}", moved.all);
    }
    let report: HeldReport = held.finish()?;
    // What waits in a veth's queue goes with its program.
    ensure!(report.opened == 32 && report.broken.is_empty() && report.unanswered <= 1 && report.moved == 0, "{report:?}");
    Ok(())
}

fn capabilities_of_the_daemon_set() -> Result<Vec<String>> {
    let set: Value = serde_saphyr::from_str(include_str!("../../deploy/base/daemon-set.yaml"))?;
    let context = &set["spec"]["template"]["spec"]["containers"][0]["securityContext"];
    Ok(serde_json::from_value(context["capabilities"]["add"].clone())?)
}

#[test]
fn nobody_sends_frames_to_a_device_whose_program_goes() -> Result<()> {
    let mut scenario = Scenario::start_on_physical_wire("xdp-target", Spec::new(PodNetwork::Routed), &FLAGS)?;
    let (pins, agent) = (scenario.cluster.pins(0), &mut scenario.agents[0]);
    let is_target =
        || -> Result<bool> { Ok(Reader::open(&pins)?.devices()?.iter().any(|(_, flags)| flags.has(DeviceFlags::XDP_TARGET))) };
    ensure!(is_target()?, "the uplink is no target");
    agent.kill()?;
    // This one ends itself when it has detached XDP, and before it has seen to anything else.
    *agent = Agent::for_node(&scenario.cluster, 0, scenario.manifests.path(), &["--xdp", "off"]);
    agent.die_at("edge_ingress-eth0")?;
    ensure!(!pins.join("links").join("uplink_xdp-eth0").exists(), "XDP is attached still");
    ensure!(!is_target()?, "frames are sent to a device without a program");
    Ok(())
}

/// Every client, at both nodes, towards the pod of each.
fn matrix(network: PodNetwork) -> Result<()> {
    let test = format!("xdp-{}", network.name());
    let scenario = Scenario::start_on_physical_wire(&test, Spec::new(network), &FLAGS)?;
    let mut cases = Vec::new();
    for node in [0, 1] {
        // Clients on the other node dial an address that is no NodePort address there: the wire carries it.
        let pod: &Host = if node == 0 { &scenario.far } else { &scenario.client };
        for client in [scenario.cluster.outside(), scenario.cluster.node(1 - node), pod] {
            cases.extend(ONE_BACKEND.into_iter().enumerate().map(|(place, target)| {
                let by = match network {
                    _ if place == node => By::XdpAndTc,
                    PodNetwork::Overlay => By::Tc,
                    PodNetwork::Routed | PodNetwork::Bridged => By::Xdp,
                };
                Case { client, address: Address::NodePort(node), target, by, masqueraded: place != node }
            }));
        }
    }
    let (client, by) = (scenario.cluster.outside(), By::XdpAndTc);
    cases.push(Case { client, address: Address::ClusterIp, target: Target::Near, by, masqueraded: false });
    let nodes = [scenario.cluster.node(0), scenario.cluster.node(1)];
    expect_all(&scenario, &cases, &[(&scenario.client, 0), (nodes[0], 0), (&scenario.far, 1), (nodes[1], 1)])
}

/// Who comes in by the wire, and whoever dials on a node: with every host's offload on, and again with it off, every checksum that
/// arrives recomputed and every address on the wire held against who should have translated it.
fn expect_all(scenario: &Scenario, cases: &[Case<'_>], on_nodes: &[(&Host, usize)]) -> Result<()> {
    let (outside, nodes) = (scenario.cluster.outside(), [scenario.cluster.node(0), scenario.cluster.node(1)]);
    let hosts = [outside, &scenario.client, &scenario.near, &scenario.far, nodes[0], nodes[1]];
    hosts.iter().try_for_each(|host| host.offload_on())?;
    let wire = expect::with_and_without_offload(&hosts, &hosts, || {
        cases.iter().try_for_each(|case| from_the_wire(scenario, *case))?;
        on_nodes.iter().try_for_each(|&(client, node)| {
            from_the_node(scenario, client, node).with_context(|| format!("from {}", client.name()))
        })
    })?;
    cases.iter().try_for_each(|case| case.expect_on(&wire, scenario))
}

/// Who comes in by the wire is translated once, at the node that was dialled, and nothing is at the other one.
fn from_the_wire(scenario: &Scenario, case: Case<'_>) -> Result<()> {
    let node = case.address.node();
    let [own, other] = [&scenario.agents[node], &scenario.agents[1 - node]];
    let before = [Hooks::of(own)?, Hooks::of(other)?];
    dial(scenario, case.client, case.address, case.target, case.masqueraded).with_context(|| case.to_string())?;
    let moved = before[0].settled(own)?;
    case.by.expect(&moved).with_context(|| case.to_string())?;
    before[1].moved(other)?.expect_nothing().with_context(|| format!("{case}, at the other node"))
}

/// Whoever dials on the node is translated in the call, and no packet is at either node.
fn from_the_node(scenario: &Scenario, client: &Host, node: usize) -> Result<()> {
    let before = [Hooks::of(&scenario.agents[node])?, Hooks::of(&scenario.agents[1 - node])?];
    for target in ONE_BACKEND {
        for address in [Address::ClusterIp, Address::NodePort(node)] {
            dial(scenario, client, address, target, false)?;
        }
    }
    let moved = before[0].settled(&scenario.agents[node])?;
    moved.expect_sockets_alone()?;
    before[1].moved(&scenario.agents[1 - node])?.expect_nothing().context("at the other node")
}

/// Connections of each family and protocol to an address.
const CONNECTIONS: u32 = 20;
/// Ports that they are made from, and the first and the last of all: the kernel chooses from these, and no node translates to them.
const PORTS: u16 = 200;
const ALL_PORTS: RangeInclusive<u16> = 33_000..=60_999;
static NEXT_PORTS: AtomicU16 = AtomicU16::new(0);

/// Lets the client dial from ports that it has not used yet. Whoever has dialled a pod through the other node, and then dials it
/// from the same port in another way, is answered in the name of the first flow, or gets another port.
fn take_ports(client: &Host) -> Result<()> {
    let turns = (ALL_PORTS.end() - ALL_PORTS.start()) / PORTS;
    let first = ALL_PORTS.start() + NEXT_PORTS.fetch_add(1, Ordering::Relaxed) % turns * PORTS;
    client.netns().sysctl("net/ipv4/ip_local_port_range", &format!("{first} {}", first + PORTS - 1))
}

/// Connections and a stream. The pod sees the client itself, or an address of the node that was dialled.
fn dial(scenario: &Scenario, client: &Host, address: Address, target: Target, masqueraded: bool) -> Result<()> {
    take_ports(client)?;
    for (family, proto) in families_and_protocols() {
        let to = address.of(scenario, target, family);
        let outcomes = client.probe(Probe { close: Close::Server, ..Probe::times(proto, to, CONNECTIONS) })?;
        let (case, backends) = (format!("{to} {proto}"), scenario.backends(target));
        if masqueraded {
            expect::answered_to(&case, &outcomes, to, &backends, |_, ip| scenario.is_node_address(address.node(), ip))?;
        } else {
            expect::answered_to_itself(&case, &outcomes, to, &backends)?;
        }
    }
    Family::BOTH.into_iter().try_for_each(|family| expect::echoed(client, address.of(scenario, target, family)))
}

impl Case<'_> {
    /// The client's packets name what it dialled. XDP has translated those that the node's stack sees; those that it left to tc are
    /// as they were sent.
    fn expect_on(&self, wire: &Wire, scenario: &Scenario) -> Result<()> {
        let (node, pod) = (scenario.cluster.node(self.address.node()), scenario.backend(self.target));
        let check = |(family, proto)| {
            let to = self.address.of(scenario, self.target, family);
            wire.expect_sent(self.client, proto, to)?;
            match self.by {
                By::Tc => wire.expect_received(node, proto, to)?,
                By::Xdp | By::XdpAndTc => wire.expect_not_received(node, proto, to)?,
            }
            wire.expect_received(pod, proto, pod.at(family, POD_PORT))
        };
        families_and_protocols().try_for_each(check).with_context(|| self.to_string())
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {} at node {}", self.client.name(), self.target.name(), self.address.node())
    }
}

impl Address {
    fn of(self, scenario: &Scenario, target: Target, family: Family) -> SocketAddr {
        match self {
            Self::NodePort(node) => scenario.node_port(node, target, family),
            Self::ClusterIp => target.cluster_ip(family),
        }
    }

    /// The node whose hook translates what comes by the wire: routes to ClusterIPs lead to the first one.
    fn node(self) -> usize {
        match self {
            Self::NodePort(node) => node,
            Self::ClusterIp => 0,
        }
    }
}

impl By {
    fn expect(self, moved: &Moved) -> Result<()> {
        match self {
            Self::Xdp => moved.expect_xdp_alone(),
            Self::XdpAndTc => moved.expect_xdp_in_tc_out(),
            Self::Tc => moved.expect_left_to_tc(),
        }
    }
}

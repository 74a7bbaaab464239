//! Programs follow the node: devices and addresses that come and go, links left by others, and a start that must not be.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, ensure};
use sluice_tests::scenario::Target;
use sluice_tests::traffic::Probe;
use sluice_tests::{Attempt, Family, PodNetwork, Proto, Scenario, Spec, wait, xdp_pass};

const SOON: Duration = Duration::from_secs(10);
/// What failed is tried again every 10 s.
const RETRIED: Duration = Duration::from_secs(30);
/// Every local address serves NodePorts.
const EVERYWHERE: [&str; 2] = ["--nodeport-addresses", "0.0.0.0/0,::/0"];
const LINKS: [&str; 2] = ["edge_ingress-eth1:7", "edge_egress-eth1:7"];

#[test]
fn devices_come_and_go() -> Result<()> {
    let mut scenario = Scenario::start("attach-devices", Spec::new(PodNetwork::Routed), &[])?;
    let node = scenario.cluster.node(0).netns();
    for _ in 0..2 {
        add_device(&scenario)?;
        wait::until(SOON, "links on a new uplink", || pinned(&scenario).then_some(()))?;
        node.ip("link del eth1.7\n")?;
        wait::until(SOON, "links to go with their device", || (!any_pinned(&scenario)).then_some(()))?;
    }
    add_device(&scenario)?;
    wait::until(SOON, "links on a new uplink", || pinned(&scenario).then_some(()))?;
    // Of the same name, and another device: what is pinned hangs on nothing.
    scenario.agents[0].kill()?;
    node.ip("link del eth1.7\n")?;
    add_device(&scenario)?;
    scenario.agents[0].start()?;
    let status = status(&scenario)?;
    let links = status["links"].as_array().into_iter().flatten();
    let of_device: Vec<_> = links.filter(|link| link["device"] == "eth1.7").collect();
    ensure!(of_device.len() == 2 && of_device.iter().all(|link| link["alive"] == true), "{status:#}");
    // A device that goes while no agent runs takes its pins along at the next start.
    scenario.agents[0].kill()?;
    scenario.cluster.node(0).netns().ip("link del eth1.7\n")?;
    scenario.agents[0].start()?;
    ensure!(!any_pinned(&scenario), "links without a device are pinned");
    served(&scenario, Target::Far.cluster_ip(Family::V4))
}

#[test]
fn addresses_take_effect_at_once() -> Result<()> {
    let scenario = Scenario::start("attach-addresses", Spec::new(PodNetwork::Routed), &EVERYWHERE)?;
    let node = scenario.cluster.node(0).netns();
    for addr in ["192.0.2.77", "2001:db8:77::77"] {
        let to = SocketAddr::new(addr.parse::<IpAddr>()?, Target::Far.node_port());
        ensure!(dial(&scenario, to).is_err(), "an address that is nowhere answers");
        let route = format!("route add {addr} via {}\n", scenario.cluster.node(0).ip(family_of(to)));
        scenario.cluster.outside().netns().ip(&route)?;
        node.ip(&format!("addr add {addr} dev eth0{}\n", if to.is_ipv6() { " nodad" } else { "" }))?;
        wait::until(SOON, "a NodePort at a new address", || dial(&scenario, to).ok())?;
        node.ip(&format!("addr del {addr} dev eth0\n"))?;
        wait::until(SOON, "a NodePort to go with its address", || dial(&scenario, to).is_err().then_some(()))?;
    }
    Ok(())
}

#[test]
fn a_second_agent_is_refused() -> Result<()> {
    let scenario = Scenario::start("attach-second", Spec::new(PodNetwork::Routed), &[])?;
    second(&scenario).refused(&scenario, 15, "another agent runs")?;
    served(&scenario, Target::Far.cluster_ip(Family::V4))
}

#[test]
fn required_xdp_that_no_driver_has() -> Result<()> {
    let mut scenario = Scenario::start("attach-xdp", Spec::new(PodNetwork::Overlay), &[])?;
    scenario.agents[0].kill()?;
    scenario.cluster.node(0).netns().ip("link add tunnel type vxlan id 99 dstport 4799\n\
         link set tunnel up\n")?;
    let flags = ["--xdp", "require", "--devices", "eth0=none,tunnel=uplink"];
    second(&scenario).flags(&flags).refused(&scenario, 21, "native XDP")?;
    scenario.agents[0].start()?;
    served(&scenario, Target::Far.cluster_ip(Family::V4))
}

#[test]
fn a_hook_that_another_program_holds_is_taken_once_it_is_free() -> Result<()> {
    let scenario = Scenario::start("attach-held", Spec::new(PodNetwork::Routed), &["--xdp", "generic"])?;
    let (node, pins) = (scenario.cluster.node(0).netns(), scenario.cluster.pins(0));
    let link = pins.join("links").join("uplink_xdp_generic-eth1:7");
    // The kernel refuses generic XDP beside native.
    node.ip("link add eth1.7 type veth peer name second\n")?;
    xdp_pass::attach(node, "eth1.7", &pins.with_file_name("held"))?;
    node.ip("addr add 198.51.100.1/24 dev eth1.7\n link set eth1.7 up\n link set second up\n")?;
    wait::until(SOON, "a report of what could not be attached", || {
        scenario.agents[0].cli(&["status"]).ok().filter(|text| text.contains("another program holds the hook"))
    })?;
    ensure!(!link.exists(), "generic XDP beside native");
    node.ip("link set dev eth1.7 xdpdrv off\n")?;
    wait::until(RETRIED, "the link", || link.exists().then_some(()))?;
    served(&scenario, Target::Far.cluster_ip(Family::V4))
}

/// A second uplink on node 0, towards a namespace of its own, with a name that bpffs would not take.
fn add_device(scenario: &Scenario) -> Result<()> {
    let wire = scenario.cluster.wire().name();
    scenario.cluster.node(0).netns().ip(&format!(
        "link add eth1.7 type veth peer name second netns {wire}\n\
         addr add 198.51.100.1/24 dev eth1.7\n\
         link set eth1.7 up\n"
    ))
}

fn pinned(scenario: &Scenario) -> bool {
    LINKS.iter().all(|link| scenario.cluster.pins(0).join("links").join(link).exists())
}

fn any_pinned(scenario: &Scenario) -> bool {
    let pins = fs::read_dir(scenario.cluster.pins(0).join("links")).into_iter().flatten().flatten();
    pins.into_iter().any(|pin| pin.file_name().to_string_lossy().contains("eth1"))
}

fn status(scenario: &Scenario) -> Result<serde_json::Value> {
    Ok(serde_json::from_str(&scenario.agents[0].cli(&["status", "-o", "json"])?)?)
}

/// An agent on node 0's pins.
fn second(scenario: &Scenario) -> Attempt {
    Attempt { pins: scenario.cluster.pins(0), ..Attempt::new(scenario) }
}

fn dial(scenario: &Scenario, to: SocketAddr) -> Result<()> {
    let outcomes = scenario.cluster.outside().probe(Probe { timeout_ms: 200, ..Probe::once(Proto::Tcp, to) })?;
    ensure!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    Ok(())
}

fn served(scenario: &Scenario, to: SocketAddr) -> Result<()> {
    let outcome = scenario.client.dial(Proto::Tcp, to)?;
    ensure!(outcome.result.is_ok_and(|answer| answer.by == "far"), "{to} is not served");
    Ok(())
}

const fn family_of(to: SocketAddr) -> Family {
    if to.is_ipv4() { Family::V4 } else { Family::V6 }
}

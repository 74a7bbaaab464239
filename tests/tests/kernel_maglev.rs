//! The algorithm maglev (S20): a client has the same endpoint whichever node it dials.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_tests::expect::families_and_protocols;
use sluice_tests::manifests::Service;
use sluice_tests::scenario::{POD_PORT, PORT};
use sluice_tests::traffic::Probe;
use sluice_tests::{Family, Host, PodNetwork, Proto, Scenario, Spec, cluster_ip, wait};

const SOON: Duration = Duration::from_secs(3);
const NODE_PORT: u16 = 30_120;
const NUMBER: u16 = 120;
const CLIENT_PORTS: std::ops::Range<u16> = 41_000..41_016;

/// Puts the Service in force with a pod on either node, and waits for its algorithm at both.
fn put(scenario: &Scenario, annotations: &str, algorithm: &str) -> Result<()> {
    let ips = Family::BOTH.map(|family| cluster_ip(family, NUMBER));
    let service = Service { annotations: annotations.to_owned(), ..Service::new("by-client", &ips) };
    let service = Proto::BOTH.into_iter().fold(service, |service, proto| service.port(proto, PORT, POD_PORT, NODE_PORT));
    scenario.put(&service, &[(&scenario.near, "node1"), (&scenario.far, "node2")])?;
    scenario.agents.iter().try_for_each(|agent| {
        wait::until(SOON, "the algorithm in the tables", || {
            let text = agent.cli(&["services", "--service", "default/by-client", "-o", "json"]).ok()?;
            (text.matches(&format!("\"algorithm\": \"{algorithm}\"")).count() == 4).then_some(())
        })
    })
}

/// Who answers a client with this port.
fn answerer(client: &Host, proto: Proto, family: Family, port: u16, to: SocketAddr) -> Result<String> {
    let bind = Some(SocketAddr::new(client.ip(family), port));
    let outcome = client.probe(Probe { bind, ..Probe::once(proto, to) })?.pop().context("no outcome")?;
    let answer = outcome.result.map_err(|failure| anyhow::anyhow!("{to} {proto} from port {port}: {failure}"))?;
    Ok(answer.by)
}

#[test]
fn s20_a_client_reaches_the_same_endpoint_by_every_node() -> Result<()> {
    let scenario = Scenario::start("maglev", Spec::new(PodNetwork::Routed), &["--algorithm", "maglev"])?;
    put(&scenario, "", "maglev")?;
    for (family, proto) in families_and_protocols() {
        let mut seen = BTreeSet::new();
        for port in CLIENT_PORTS {
            let by_node = |node: usize| {
                answerer(scenario.cluster.outside(), proto, family, port, scenario.cluster.node(node).at(family, NODE_PORT))
            };
            let (first, second) = (by_node(0)?, by_node(1)?);
            ensure!(first == second, "{family:?} {proto} port {port}: {first} by one node, {second} by the other");
            seen.insert(first);
        }
        ensure!(seen.len() == 2, "{family:?} {proto}: {seen:?} alone");
    }
    put(&scenario, "    sluice.dev/algorithm: random\n", "random")?;
    put(&scenario, "    sluice.dev/algorithm: maglev\n", "maglev")
}

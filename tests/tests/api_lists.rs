//! How lists come: streamed where etcd tells the API server its progress, page by page where it can't.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::controlplane::Etcd;
use sluice_tests::controlplane::world::{LIMIT, World};
use sluice_tests::{Agent, wait};

const KINDS: [&str; 4] = ["EndpointSlice", "Node", "Service", "ServiceCIDR"];
/// A list that is streamed ahead of a watch of one second.
const STREAMED: &str = "/api/v1/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                        &allowWatchBookmarks=true&timeoutSeconds=1";

#[test]
fn an_etcd_that_tells_its_progress() -> Result<()> {
    ready_and_listed("api-streamed", Etcd::Current, "k8s.io/initial-events-end", "streamed")
}

#[test]
fn an_etcd_that_is_too_old_for_streamed_lists() -> Result<()> {
    ready_and_listed("api-paged", Etcd::Old, "the required storage feature RequestWatchProgress is disabled", "paged")
}

/// Agents become ready over this etcd and list everything in this way, also after a restart that no watch can go on over.
fn ready_and_listed(test: &str, etcd: Etcd, answer: &str, way: &str) -> Result<()> {
    let mut world = World::without_agents(test, etcd)?;
    let page = world.plane.request("GET", STREAMED, "")?;
    ensure!(page.body.contains(answer), "{STREAMED} answers {}: {}", page.status, page.body);
    world.launch(&world.plane.agent_kubeconfig(), &[])?;
    world.serve_web()?;
    wait_listed(&world, way)?;

    world.plane.compact()?;
    world.plane.stop_api_server()?;
    world.plane.start_api_server()?;
    let ips = world.pod_ips();
    let [_, far] = World::pods(&ips);
    world.plane.set_ready(&far, false)?;
    world.wait_for_answers(&["near"]).context("after the API server came back")?;
    wait_listed(&world, way)
}

fn wait_listed(world: &World, way: &str) -> Result<()> {
    let wanted: Value = KINDS.iter().map(|kind| ((*kind).to_owned(), json!(way))).collect();
    for agent in &world.agents {
        let listed = || lists(agent).filter(|lists| *lists == wanted);
        wait::until(LIMIT, &format!("status to say that lists are {way}"), listed).with_context(|| agent.log_tail(10))?;
        let well = || {
            let text = agent.cli(&["status"]).ok()?;
            (text.contains(&format!("lists are {way}")) && text.contains("No warnings.")).then_some(())
        };
        wait::until(LIMIT, "status to say so in words, and nothing else", well).with_context(|| agent.log_tail(10))?;
    }
    Ok(())
}

fn lists(agent: &Agent) -> Option<Value> {
    let status: Value = serde_json::from_str(&agent.cli(&["status", "-o", "json"]).ok()?).ok()?;
    Some(status["report"]["source"]["lists"].clone())
}

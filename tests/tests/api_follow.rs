//! Two agents on two nodes follow a real API server, with the rights and capabilities of deploy/ and no others: pods'
//! readiness by way of the EndpointSlice controller, changed and deleted Services, an API server that is killed and comes
//! back; all by real traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, World, load};
use sluice_tests::expect;
use sluice_tests::manifests::Slice;
use sluice_tests::traffic::LoadReport;
use sluice_tests::wait::{self, monotonic_ns};
use sluice_tests::{Family, Host, Traffic, cluster_ip};

/// The most that may pass from the write of a slice to the last new connection on the old endpoint.
const LIMIT_MS: f64 = 100.0;
/// Turns of readiness.
const TURNS: usize = 10;

#[test]
fn services_readiness_deletes_and_restarts_of_the_api_server() -> Result<()> {
    let mut world = World::start("api-follow")?;
    let plane = &world.plane;
    plane.add_service(&World::service())?;
    let ips = world.pod_ips();
    let [near, far] = World::pods(&ips);
    plane.add_pod(&near)?;
    plane.add_pod(&far)?;
    world.wait_for_answers(&["far", "near"]).context("a new Service with two pods")?;

    plane.set_ready(&far, false)?;
    world.wait_for_answers(&["near"]).context("a pod turned unready")?;

    plane.patch_service("web", &json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": "other"}}}))?;
    let node_port = world.cluster.node(1).at(Family::V4, NODE_PORT);
    world::wait_refused(world.cluster.outside(), node_port).context("S1: a Service that another proxy was given")?;
    plane.patch_service("web", &json!({"metadata": {"labels": {"service.kubernetes.io/service-proxy-name": null}}}))?;
    world.wait_for_answers(&["near"]).context("S1: a Service that came back")?;

    let service = SocketAddr::new(cluster_ip(Family::V4, 10), 80);
    let running = [world.client.load(load(service))?, world.cluster.outside().load(load(node_port))?];
    world.plane.stop_api_server()?;
    for agent in &world.agents {
        let known = || agent.cli(&["status"]).ok().filter(|text| text.contains("can't reach the API server"));
        wait::until(LIMIT, "status to say that the API server is away", known)?;
        let degraded = || agent.metrics().ok().filter(|metrics| metrics.sum("sluice_degraded", &["condition=\"api\""]) == 1.0);
        wait::until(LIMIT, "metrics to say that the API server is away", degraded)?;
    }
    world.plane.start_api_server()?;
    world.plane.set_ready(&far, true)?;
    world.wait_for_answers(&["far", "near"]).context("after the API server came back")?;
    for load in running {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0 && report.requests() > 0, "while the API server was away: {}", report.failures());
    }
    for agent in &world.agents {
        let well = || agent.cli(&["status"]).ok().filter(|text| !text.contains("can't reach the API server"));
        wait::until(LIMIT, "status to say that all is well", well)?;
    }

    world.plane.remove_pod("near")?;
    world.wait_for_answers(&["far"]).context("a pod was deleted")?;
    world.plane.remove_service("web")?;
    for node in [0, 1] {
        for family in Family::BOTH {
            world::wait_refused(world.cluster.outside(), world.cluster.node(node).at(family, NODE_PORT))
                .context("a deleted Service")?;
        }
    }
    for agent in &mut world.agents {
        ensure!(agent.is_running(), "an agent has ended");
    }
    Ok(())
}

#[test]
fn the_last_connection_to_an_unready_endpoint_comes_within_100_ms_of_the_api_write() -> Result<()> {
    let world = World::start("api-readiness")?;
    let plane = &world.plane;
    let service = World::service();
    plane.add_service(&service)?;
    plane.patch_service("web", &json!({"spec": {"selector": null}}))?;
    let slice = |family: Family, pods: &[(&Arc<Host>, &str)]| {
        pods.iter().fold(service.slice(family), |slice, (pod, node)| slice.endpoint(pod.ip(family), node))
    };
    let both = [(&world.near, "node1"), (&world.far, "node2")];
    Family::BOTH.into_iter().try_for_each(|family| plane.add_slice(&slice(family, &both)))?;
    world.wait_for_answers(&["far", "near"])?;
    let (mut after_request, mut after_answer) = (Vec::new(), Vec::new());
    for number in 0..TURNS {
        let late = expect::within(LIMIT_MS, |late: &Late| late.after_answer, || turn(&world, number % 2 == 0, &slice, both))?;
        after_request.extend(late.iter().map(|late| late.after_request));
        after_answer.extend(late.iter().map(|late| late.after_answer));
    }
    for (what, mut late) in [("two slices began to be written", after_request), ("their writes were answered", after_answer)] {
        late.sort_by(f64::total_cmp);
        let (median, last) = (late[late.len() / 2], late[late.len() - 1]);
        println!(
            "REPORT: API: last connection to an unready endpoint {median:.1} ms (median), {last:.1} ms (most) after {what}"
        );
    }
    Ok(())
}

/// When a client's last connection to an unready endpoint began, in milliseconds after the writes of its slices.
struct Late {
    after_request: f64,
    after_answer: f64,
}

/// One pod turns unready and comes back. One sample for each way to the Service.
fn turn<'a>(
    world: &'a World,
    near_leaves: bool,
    slice: &impl Fn(Family, &[(&'a Arc<Host>, &'static str)]) -> Slice,
    both: [(&'a Arc<Host>, &'static str); 2],
) -> Result<Vec<Late>> {
    let write = |pods: &[(&'a Arc<Host>, &'static str)]| {
        Family::BOTH.into_iter().try_for_each(|family| world.plane.replace_slice(&slice(family, pods)))
    };
    let loads = world.ways().into_iter().map(|(from, to)| from.load(load(to))).collect::<Result<Vec<_>>>()?;
    thread::sleep(Duration::from_millis(300));
    let (leaving, staying) = if near_leaves { ("near", both[1]) } else { ("far", both[0]) };
    let asked = monotonic_ns();
    write(&[staying])?;
    let answered = monotonic_ns();
    thread::sleep(Duration::from_millis(400));
    let measure = |load: Traffic| {
        let report: LoadReport = load.finish()?;
        ensure!(report.failed() == 0, "{}", report.failures());
        let last = report.last_start(leaving).with_context(|| format!("no answer by {leaving}"))?;
        let since = |time: u64| last.saturating_sub(time) as f64 / 1e6;
        Ok(Late { after_request: since(asked), after_answer: since(answered) })
    };
    let late = loads.into_iter().map(measure).collect::<Result<Vec<_>>>()?;
    write(&both)?;
    thread::sleep(Duration::from_millis(150));
    Ok(late)
}

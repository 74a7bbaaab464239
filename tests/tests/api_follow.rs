//! Two agents on two nodes follow a real API server, with the rights and capabilities of deploy/ and no others: pods'
//! readiness by way of the EndpointSlice controller, changed and deleted Services, an API server that is killed and comes
//! back; all by real traffic.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sluice_tests::controlplane::world::{self, LIMIT, NODE_PORT, World, load};
use sluice_tests::expect;
use sluice_tests::manifests::{Endpoint, Slice};
use sluice_tests::traffic::LoadReport;
use sluice_tests::wait::{self, monotonic_ns};
use sluice_tests::{Family, Host, Traffic, cluster_ip};

/// The most that may pass from the write of a slice to the last new connection on the old endpoint.
const LIMIT_MS: f64 = 100.0;
/// Turns: in half of them a pod turns unready, in the others it leaves.
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
    let slice = |family: Family, pods: &[Member]| {
        pods.iter().fold(service.slice(family), |slice, pod| slice.with(pod.endpoint(family)))
    };
    let both = [Member::ready(&world.near, "node1"), Member::ready(&world.far, "node2")];
    Family::BOTH.into_iter().try_for_each(|family| plane.add_slice(&slice(family, &both)))?;
    world.wait_for_answers(&["far", "near"])?;
    for (end, unready) in [("turned unready", true), ("left", false)] {
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for number in 0..TURNS / 2 {
            let leaving = number % 2;
            let mut rest = both.to_vec();
            if unready {
                rest[leaving].ready = false;
            } else {
                rest.remove(leaving);
            }
            let turn = || turn(&world, both[leaving].pod.name(), &slice, (&both, &rest));
            kept.extend(expect::within(LIMIT_MS, |late: &Late| late.after_request, &mut dropped, turn)?);
        }
        report(end, &kept, &dropped);
    }
    Ok(())
}

/// An endpoint of both slices.
#[derive(Clone, Copy)]
struct Member<'a> {
    pod: &'a Host,
    node: &'a str,
    ready: bool,
}

impl<'a> Member<'a> {
    fn ready(pod: &'a Host, node: &'a str) -> Self {
        Self { pod, node, ready: true }
    }

    fn endpoint(&self, family: Family) -> Endpoint {
        Endpoint { ip: self.pod.ip(family), node: self.node.to_owned(), ready: Some(self.ready) }
    }
}

/// When a client's last connection to an unready endpoint began, in milliseconds after the writes of its slices.
struct Late {
    after_request: f64,
    after_answer: f64,
}

fn report(end: &str, kept: &[Late], dropped: &[Late]) {
    type Since = fn(&Late) -> f64;
    let moments: [(&str, Since); 2] = [
        ("two slices began to be written", |late| late.after_request),
        ("their writes were answered", |late| late.after_answer),
    ];
    for (what, since) in moments {
        let mut late: Vec<f64> = kept.iter().map(since).collect();
        late.sort_by(f64::total_cmp);
        let (median, last) = (late[late.len() / 2], late[late.len() - 1]);
        let dropped: Vec<f64> = dropped.iter().map(since).collect();
        println!(
            "REPORT: API: last connection to an endpoint that {end} {median:.1} ms (median), {last:.1} ms (most) after {what}; of \
             turns measured again {dropped:.1?}"
        );
    }
}

/// One pod turns unready, or leaves, and comes back: the slices have `both`, `rest`, and `both` again. One sample for each way to
/// the Service.
fn turn(
    world: &World,
    leaving: &str,
    slice: &impl Fn(Family, &[Member]) -> Slice,
    (both, rest): (&[Member], &[Member]),
) -> Result<Vec<Late>> {
    let write =
        |pods: &[Member]| Family::BOTH.into_iter().try_for_each(|family| world.plane.replace_slice(&slice(family, pods)));
    let loads = world.ways().into_iter().map(|(from, to)| from.load(load(to))).collect::<Result<Vec<_>>>()?;
    thread::sleep(Duration::from_millis(300));
    let asked = monotonic_ns();
    write(rest)?;
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
    write(both)?;
    thread::sleep(Duration::from_millis(150));
    Ok(late)
}

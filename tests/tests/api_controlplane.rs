//! The control plane of the tests itself: controllers make slices of pods, and the API server comes back with all it knew.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluice_tests::controlplane::Pod;
use sluice_tests::manifests::Service;
use sluice_tests::{ControlPlane, Family, Proto, Rig, cluster_ip, wait};

const LIMIT: Duration = Duration::from_secs(10);

fn wait_ready(plane: &ControlPlane, wanted: usize) -> Result<()> {
    wait::until(LIMIT, &format!("{wanted} ready endpoints"), || {
        plane.ready_endpoints("web").ok().filter(|&found| found == wanted)
    })
    .map(drop)
}

#[test]
fn controllers_follow_pods_and_the_api_server_survives_a_kill() -> Result<()> {
    let rig = Rig::new("api-controlplane")?;
    let netns = rig.netns("api")?;
    netns.ip("addr add 192.0.2.1/32 dev lo")?;
    let mut plane = ControlPlane::start(&netns, "192.0.2.1".parse()?, &rig.scratch())?;

    plane.add_node("node1", &["192.0.2.11".parse()?])?;
    let ips = [cluster_ip(Family::V4, 10), cluster_ip(Family::V6, 10)];
    plane.add_service(&Service::new("web", &ips).port(Proto::Tcp, 80, 8080, 30007))?;
    let (first, second) = (["10.244.0.2".parse()?, "fd00:244::2".parse()?], ["10.244.0.3".parse()?, "fd00:244::3".parse()?]);
    let first = Pod { name: "web-1", app: "web", node: "node1", ips: &first };
    plane.add_pod(&first)?;
    plane.add_pod(&Pod { name: "web-2", ips: &second, ..first })?;
    wait_ready(&plane, 4).context("two pods in two families")?;

    plane.set_ready(&first, false)?;
    wait_ready(&plane, 2).context("one pod unready")?;

    plane.stop_api_server()?;
    ensure!(plane.request("GET", "/readyz", "").is_err(), "an answer from a killed API server");
    plane.start_api_server()?;
    wait_ready(&plane, 2).context("after the API server came back")?;

    plane.remove_pod("web-1")?;
    plane.remove_service("web")?;
    wait_ready(&plane, 0).context("the Service is gone")
}

//! Two agents on two nodes follow a real API server, as the identity that deploy/ makes and with the capabilities it grants.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sluice_tests::controlplane::Pod;
use sluice_tests::manifests::{Service, Slice};
use sluice_tests::traffic::{self, Load, LoadReport, Outcome};
use sluice_tests::wait::monotonic_ns;
use sluice_tests::{Agent, Cluster, ControlPlane, Family, Host, PodNetwork, Proto, Spec, Traffic, cluster_ip, wait};

const PORT: u16 = 80;
const POD_PORT: u16 = 8080;
const NODE_PORT: u16 = 30080;
/// Controllers on two busy cores.
const LIMIT: Duration = Duration::from_secs(15);
/// The most that may pass from the write of the slice to the last new connection on the old endpoint.
const LATE_MS: f64 = 100.0;
const TURNS: usize = 10;

/// Agents end before pods, and pods before the cluster.
struct Follow {
    agents: Vec<Agent>,
    _servers: Vec<Traffic>,
    plane: ControlPlane,
    client: Arc<Host>,
    near: Arc<Host>,
    far: Arc<Host>,
    cluster: Cluster,
}

impl Follow {
    /// A control plane with deploy/ applied and both nodes registered, and an agent on each.
    fn start(test: &str) -> Result<Self> {
        let cluster = Cluster::build(test, Spec::new(PodNetwork::Routed))?;
        let outside = cluster.outside();
        let plane = ControlPlane::start(outside.netns(), outside.ip(Family::V4), &cluster.scratch())?;
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy").join("base");
        plane.kubectl(&["apply", "--server-side", "-k", base.to_str().context("a path in UTF-8")?])?;
        for node in cluster.nodes() {
            plane.add_node(node.name(), &Family::BOTH.map(|family| node.ip(family)))?;
        }
        let kubeconfig = plane.agent_kubeconfig().display().to_string();
        let granted = granted_capabilities(&plane)?;
        let mut agents: Vec<Agent> =
            (0..2).map(|node| Agent::with_source(&cluster, node, &["--kubeconfig", &kubeconfig], &[])).collect();
        for agent in &mut agents {
            agent.limit_capabilities(&granted);
            agent.start()?;
        }
        let (client, near, far) = (cluster.add_pod(0, "client")?, cluster.add_pod(0, "near")?, cluster.add_pod(1, "far")?);
        let servers = vec![near.serve(&[POD_PORT])?, far.serve(&[POD_PORT])?];
        Ok(Self { agents, _servers: servers, plane, client, near, far, cluster })
    }

    /// What outside, pod and node get from Service `web`, over every protocol and family.
    fn ask_everywhere(&self) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for (family, proto) in Family::BOTH.into_iter().flat_map(|family| Proto::BOTH.map(|proto| (family, proto))) {
            outcomes.push(self.cluster.outside().dial(proto, self.cluster.node(0).at(family, NODE_PORT))?);
            outcomes.push(self.cluster.outside().dial(proto, self.cluster.node(1).at(family, NODE_PORT))?);
            outcomes.push(self.client.dial(proto, web_address(family))?);
            outcomes.push(self.cluster.node(1).dial(proto, web_address(family))?);
        }
        Ok(outcomes)
    }

    /// Waits until every way to `web` ends at `pod`.
    fn wait_answered_by(&self, pod: &str) -> Result<()> {
        self.wait_for(&format!("answers from {pod} alone"), |outcome| {
            outcome.result.as_ref().is_ok_and(|answer| answer.by == pod)
        })
    }

    /// Waits until connections are refused on every way to `web`.
    fn wait_refused(&self) -> Result<()> {
        self.wait_for("refusals", |outcome| outcome.result.as_ref().is_err_and(|failure| failure.reason == "ECONNREFUSED"))
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Outcome) -> bool) -> Result<()> {
        let mut last = Vec::new();
        let found = wait::until(LIMIT, what, || match self.ask_everywhere() {
            Ok(outcomes) if outcomes.iter().all(&holds) => Some(Ok(())),
            Ok(outcomes) => {
                last = outcomes;
                None
            }
            Err(error) => Some(Err(error)),
        });
        found.with_context(|| format!("{last:#?}"))?
    }
}

/// The capabilities in the DaemonSet that the API server holds.
fn granted_capabilities(plane: &ControlPlane) -> Result<Vec<String>> {
    let set = plane.call("GET", "/apis/apps/v1/namespaces/kube-system/daemonsets/sluice", "")?;
    let context = &set["spec"]["template"]["spec"]["containers"][0]["securityContext"];
    ensure!(context["privileged"] == Value::Bool(false), "a privileged container");
    Ok(serde_json::from_value(context["capabilities"]["add"].clone())?)
}

fn web_address(family: Family) -> std::net::SocketAddr {
    (cluster_ip(family, 80), PORT).into()
}

fn web() -> Service {
    let ips = Family::BOTH.map(|family| cluster_ip(family, 80));
    Proto::BOTH.into_iter().fold(Service::new("web", &ips), |service, proto| service.port(proto, PORT, POD_PORT, NODE_PORT))
}

#[test]
fn services_pods_and_deletes_reach_both_nodes_and_an_api_server_may_go_and_come_back() -> Result<()> {
    let mut follow = Follow::start("api-agent")?;
    follow.plane.add_service(&web())?;
    follow.wait_refused().context("a Service without endpoints")?;

    let (near_ips, far_ips) = (both_ips(&follow.near), both_ips(&follow.far));
    let near = Pod { name: "near", app: "web", node: "node1", ips: &near_ips };
    let far = Pod { name: "far", app: "web", node: "node2", ips: &far_ips };
    follow.plane.add_pod(&near)?;
    follow.wait_answered_by("near").context("one pod")?;
    follow.plane.add_pod(&far)?;
    follow.plane.set_ready(&near, false)?;
    follow.wait_answered_by("far").context("the other pod, the first one unready")?;

    let load = follow.client.load(Load::new(vec![traffic::Target::new(Proto::Tcp, web_address(Family::V4))], 200))?;
    follow.plane.stop_api_server()?;
    thread::sleep(Duration::from_secs(1));
    follow.wait_answered_by("far").context("while the API server is away")?;
    follow.plane.start_api_server()?;
    follow.plane.set_ready(&near, true)?;
    follow.plane.set_ready(&far, false)?;
    follow.wait_answered_by("near").context("after the API server came back")?;
    let report: LoadReport = load.finish()?;
    ensure!(report.failed() == 0, "while the API server was away: {}", report.failures());

    follow.plane.remove_pod("near")?;
    follow.wait_refused().context("no pod is ready")?;
    follow.plane.set_ready(&far, true)?;
    follow.wait_answered_by("far").context("ready again")?;
    follow.plane.remove_service("web")?;
    for agent in &follow.agents {
        wait::until(LIMIT, "the Service to be gone", || {
            agent.cli(&["services", "-o", "json"]).ok().filter(|text| !text.contains("\"web\""))
        })?;
    }
    let outcome = follow.cluster.outside().dial(Proto::Tcp, follow.cluster.node(0).at(Family::V4, NODE_PORT))?;
    ensure!(outcome.result.is_err(), "a deleted Service answers: {outcome:?}");
    Ok(())
}

#[test]
fn the_last_connection_to_an_unready_endpoint_comes_within_100_ms_of_the_api_write() -> Result<()> {
    let follow = Follow::start("api-readiness")?;
    follow.plane.add_service(&web())?;
    let slice = |pods: &[(&Arc<Host>, &str)], family: Family| {
        pods.iter().fold(web().slice(family), |slice: Slice, (pod, node)| slice.endpoint(pod.ip(family), node))
    };
    let all = [(&follow.near, "node1"), (&follow.far, "node2")];
    follow.plane.add_slice(&slice(&all[1..], Family::V6))?;
    follow.plane.add_slice(&slice(&all[1..], Family::V4))?;
    follow.wait_answered_by("far")?;
    let mut late = Vec::new();
    for turn in 0..TURNS {
        follow.plane.replace_slice(&slice(&all, Family::V4))?;
        let outside = traffic::Target::new(Proto::Tcp, follow.cluster.node(0).at(Family::V4, NODE_PORT));
        let loads = [
            follow.cluster.outside().load(Load::new(vec![outside], 200))?,
            follow.client.load(Load::new(vec![traffic::Target::new(Proto::Tcp, web_address(Family::V4))], 200))?,
        ];
        thread::sleep(Duration::from_millis(300));
        let (leaving, staying) = if turn % 2 == 0 { ("near", &all[1..]) } else { ("far", &all[..1]) };
        let written = monotonic_ns();
        follow.plane.replace_slice(&slice(staying, Family::V4))?;
        thread::sleep(Duration::from_millis(400));
        for load in loads {
            let report: LoadReport = load.finish()?;
            ensure!(report.failed() == 0, "{}", report.failures());
            let Some(last) = report.last_start(leaving) else { bail!("{leaving} was never asked") };
            late.push(last.saturating_sub(written) as f64 / 1e6);
        }
    }
    late.sort_by(f64::total_cmp);
    let (median, last) = (late[late.len() / 2], late[late.len() - 1]);
    println!(
        "REPORT: last connection to an unready endpoint {median:.1} ms (median), {last:.1} ms (most) after its slice was sent to the API server"
    );
    ensure!(last <= LATE_MS, "{late:?} ms");
    Ok(())
}

fn both_ips(pod: &Host) -> [std::net::IpAddr; 2] {
    Family::BOTH.map(|family| pod.ip(family))
}

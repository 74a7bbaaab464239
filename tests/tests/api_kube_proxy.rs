//! kube-proxy as the bench runs it: on one node of a cluster, with rules in that node's namespace alone.

use anyhow::{Result, ensure};
use sluice_tests::controlplane::{KubeProxy, Pod};
use sluice_tests::manifests::Service;
use sluice_tests::{Cluster, ControlPlane, Family, PodNetwork, Proto, Spec, cluster_ip};

const FAMILY: Family = Family::V4;

#[test]
fn kube_proxy_serves_the_node_port_of_its_node_once_it_is_programmed() -> Result<()> {
    let cluster = Cluster::build("api-kube-proxy", Spec::new(PodNetwork::Routed))?;
    let web = cluster.add_pod(0, "web")?;
    let _server = web.serve(&[8080])?;
    let (node, plane_node) = (cluster.node(0), cluster.node(1));
    let plane = ControlPlane::start(plane_node.netns(), plane_node.ip(FAMILY), &cluster.scratch())?;
    plane.add_node(node.name(), &[node.ip(FAMILY)])?;
    plane.add_service(&Service::new("web", &[cluster_ip(FAMILY, 10)]).port(Proto::Tcp, 80, 8080, 30007))?;
    plane.add_pod(&Pod { name: "web", app: "web", node: node.name(), ips: &[web.ip(FAMILY)] })?;

    let mut kube_proxy = KubeProxy::start(node, &plane, &cluster.scratch())?;
    kube_proxy.wait_for(30007, web.at(FAMILY, 8080))?;
    let outcome = cluster.outside().dial(Proto::Tcp, node.at(FAMILY, 30007))?;
    ensure!(outcome.result.as_ref().is_ok_and(|answer| answer.by == "web"), "{outcome:?}");
    let elsewhere = plane_node.netns().run("nft", &["list", "tables"])?;
    ensure!(elsewhere.is_empty(), "rules on a node without kube-proxy: {elsewhere}");
    Ok(())
}

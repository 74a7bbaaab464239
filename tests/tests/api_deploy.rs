//! The manifests of deploy/ against a real API server: accepted as they are, and giving the agent the rights to read what
//! it follows, to say Events, and nothing else.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use sluice_tests::controlplane::AGENT_IDENTITY;
use sluice_tests::{ControlPlane, Rig};

/// A control plane in a namespace of its own, at an address that is nobody else's.
fn start(rig: &Rig) -> Result<ControlPlane> {
    let netns = rig.netns("api")?;
    netns.ip("addr add 192.0.2.1/32 dev lo")?;
    ControlPlane::start(&netns, "192.0.2.1".parse()?, &rig.scratch())
}

fn folder(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy").join(name);
    path.to_str().map(str::to_owned).context("a path in UTF-8")
}

fn may(plane: &ControlPlane, verb: &str, resource: &str) -> Result<bool> {
    let question = ["auth", "can-i", verb, resource, "--all-namespaces", "--as", AGENT_IDENTITY];
    let output = plane.kubectl_output(&plane.admin_kubeconfig(), &question)?;
    match String::from_utf8_lossy(&output.stdout).split_whitespace().next() {
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        _ => bail!("kubectl auth can-i {verb} {resource}: {output:?}"),
    }
}

#[test]
fn an_api_server_accepts_the_manifests_and_they_give_exactly_the_rights_needed() -> Result<()> {
    let rig = Rig::new("api-deploy")?;
    let plane = start(&rig)?;
    for name in ["base", "kubeadm"] {
        let said = plane.kubectl(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", &folder(name)?])?;
        ensure!(said.contains("daemonset.apps/sluice serverside-applied (server dry run)"), "{said}");
    }
    let list = ["get", "services", "--all-namespaces"];
    ensure!(!plane.kubectl_output(&plane.agent_kubeconfig(), &list)?.status.success(), "rights before deploy/ is applied");

    plane.kubectl(&["apply", "--server-side", "-k", &folder("base")?])?;
    ensure!(plane.kubectl_output(&plane.agent_kubeconfig(), &list)?.status.success(), "no rights after deploy/ is applied");
    for resource in ["services", "nodes", "endpointslices.discovery.k8s.io", "servicecidrs.networking.k8s.io"] {
        for verb in ["get", "list", "watch"] {
            ensure!(may(&plane, verb, resource)?, "the agent may not {verb} {resource}");
        }
        for verb in ["create", "update", "patch", "delete"] {
            ensure!(!may(&plane, verb, resource)?, "the agent may {verb} {resource}");
        }
    }
    ensure!(may(&plane, "create", "events.events.k8s.io")?, "the agent may not say Events");
    for verb in ["get", "list", "update", "patch", "delete"] {
        ensure!(!may(&plane, verb, "events.events.k8s.io")?, "the agent may {verb} Events");
    }
    for resource in ["secrets", "configmaps", "pods"] {
        ensure!(!may(&plane, "get", resource)?, "the agent may read {resource}");
    }
    Ok(())
}

//! The manifests of deploy/ against a real API server: accepted as they are, and giving the agent the rights to read what
//! it follows, to say Events, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_tests::controlplane::{self, AGENT_IDENTITY};
use sluice_tests::{ControlPlane, Rig};

/// Every right of the agent: group, resource, verbs.
const RIGHTS: [(&str, &str, &[&str]); 5] = [
    ("", "services", FOLLOWED),
    ("", "nodes", FOLLOWED),
    ("discovery.k8s.io", "endpointslices", FOLLOWED),
    ("networking.k8s.io", "servicecidrs", FOLLOWED),
    ("events.k8s.io", "events", &["create"]),
];
const FOLLOWED: &[&str] = &["get", "list", "watch"];

/// A rule of a role. One that names objects or URLs is none of ours.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

impl Rule {
    /// Each group, resource and verb of it.
    fn rights(&self) -> impl Iterator<Item = [&str; 3]> {
        let of_group = |group| self.resources.iter().map(move |resource| (group, resource));
        let pairs = self.api_groups.iter().flat_map(of_group);
        pairs.flat_map(|(group, resource): (&String, _)| self.verbs.iter().map(move |verb| [&**group, &**resource, &**verb]))
    }
}

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

/// The objects that `kubectl kustomize` makes of a folder of deploy/.
fn rendered(name: &str) -> Result<Vec<Value>> {
    let output = Command::new(controlplane::program("kubectl")?).args(["kustomize", &folder(name)?]).output()?;
    ensure!(output.status.success(), "kubectl kustomize {name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    text.split("\n---\n").map(|document| Ok(serde_saphyr::from_str(document)?)).collect()
}

#[test]
fn the_manifests_give_these_rights_and_no_others() -> Result<()> {
    for name in ["base", "kubeadm"] {
        let mut objects = rendered(name)?;
        let of_rbac = |object: &Value| object["apiVersion"] == "rbac.authorization.k8s.io/v1";
        objects.retain(of_rbac);
        let kinds: Vec<_> = objects.iter().map(|object| &object["kind"]).collect();
        ensure!(kinds == ["ClusterRole", "ClusterRoleBinding"], "{name}: {kinds:?}");
        let [role, binding] = [&objects[0], &objects[1]];

        let rules: Vec<Rule> = serde_json::from_value(role["rules"].clone()).with_context(|| role.to_string())?;
        let given: BTreeSet<_> = rules.iter().flat_map(Rule::rights).collect();
        let wanted = RIGHTS.iter().flat_map(|&(group, resource, verbs)| verbs.iter().map(move |&verb| [group, resource, verb]));
        let wanted: BTreeSet<_> = wanted.collect();
        let (more, fewer): (Vec<_>, Vec<_>) = (given.difference(&wanted).collect(), wanted.difference(&given).collect());
        ensure!(more.is_empty() && fewer.is_empty(), "{name}: rights too many: {more:?}, missing: {fewer:?}");
        ensure!(role.get("aggregationRule").is_none(), "{name}: rules of other roles would be added: {role}");

        let to_role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]});
        let agent = json!([{"kind": "ServiceAccount", "name": "sluice", "namespace": "kube-system"}]);
        ensure!(binding["roleRef"] == to_role && binding["subjects"] == agent, "{name}: {binding}");
    }
    Ok(())
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

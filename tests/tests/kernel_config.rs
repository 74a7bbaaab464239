//! Settings that change what packets and listeners do.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sluice_tests::cluster::{POD_CIDR_V4, POD_CIDR_V6};
use sluice_tests::expect::{self, families_and_protocols};
use sluice_tests::hooks::Hooks;
use sluice_tests::manifests::node_yaml;
use sluice_tests::scenario::Target;
use sluice_tests::traffic::Probe;
use sluice_tests::{Agent, Family, PodNetwork, Scenario, Spec, wait};

const SOON: Duration = Duration::from_secs(2);
/// From an agent's start until it tells how it is.
const LATER: Duration = Duration::from_secs(20);

fn start(test: &str, flags: &[&str]) -> Result<Scenario> {
    Scenario::start(test, Spec::new(PodNetwork::Routed), flags)
}

/// What kubeadm 1.36 writes into the ConfigMap `kube-proxy`, unchanged.
const KUBEADM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proxy-agent/tests/fixtures/kubeadm-1.36-config.conf");

/// Who the pod on node 0 sees when the outside dials its ClusterIP through that node: the node, or the client itself.
fn masqueraded(scenario: &Scenario, family: Family) -> Option<bool> {
    let to = Target::Near.cluster_ip(family);
    let outcomes = scenario.cluster.outside().probe(Probe::times(sluice_tests::Proto::Tcp, to, 3)).ok()?;
    let peers: Vec<_> = outcomes.iter().map(|outcome| outcome.result.as_ref().ok().map(|answer| answer.peer.ip())).collect();
    let node = peers.iter().flatten().filter(|peer| scenario.is_node_address(0, **peer)).count();
    match (peers.iter().flatten().count(), node) {
        (3, 3) => Some(true),
        (3, 0) => Some(false),
        _ => None,
    }
}

fn becomes(scenario: &Scenario, wanted: bool) -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| {
        let what = format!("{family}: masqueraded: {wanted}");
        wait::until(SOON, &what, || masqueraded(scenario, family).filter(|found| *found == wanted)).map(drop)
    })
}

#[test]
fn s30_always_masquerades_a_node_port_towards_a_local_endpoint() -> Result<()> {
    let scenario = start("config-always", &["--masquerade-external", "always"])?;
    let outside = scenario.cluster.outside();
    for (family, proto) in families_and_protocols() {
        let to = scenario.node_port(0, Target::Near, family);
        let outcomes = outside.probe(Probe::times(proto, to, 5))?;
        expect::answered_to(&format!("{to} {proto}"), &outcomes, to, &["near"], |_, ip| scenario.is_node_address(0, ip))?;
    }
    becomes(&scenario, false).context("a ClusterIP is another matter (S29)")
}

#[test]
fn s29_masquerade_all_needs_no_detector() -> Result<()> {
    becomes(&start("config-all", &["--masquerade-all"])?, true)
}

#[test]
fn s38_s54_pod_cidrs_of_the_node_are_followed() -> Result<()> {
    let scenario = start("config-node-cidr", &["--detect-local-mode", "NodeCIDR"])?;
    becomes(&scenario, false).context("a node without podCIDRs")?;
    let node = scenario.cluster.node(0);
    let yaml = node_yaml(node.name(), &Family::BOTH.map(|family| node.ip(family)));
    let file = format!("{}.yaml", node.name());
    scenario.manifests.put(&file, &format!("{yaml}spec:\n  podCIDRs: [\"{POD_CIDR_V4}\", \"{POD_CIDR_V6}\"]\n"))?;
    becomes(&scenario, true)?;
    scenario.manifests.put(&file, &yaml)?;
    becomes(&scenario, false).context("podCIDRs that went")
}

#[test]
fn s38_pod_cidrs_stay_in_force_when_an_agent_starts_without_an_api_server() -> Result<()> {
    let mode = ["--detect-local-mode", "NodeCIDR"];
    let mut scenario = start("config-left-cidr", &mode)?;
    let node = scenario.cluster.node(0);
    let yaml = node_yaml(node.name(), &Family::BOTH.map(|family| node.ip(family)));
    let spec = format!("spec:\n  podCIDRs: [\"{POD_CIDR_V4}\", \"{POD_CIDR_V6}\"]\n");
    scenario.manifests.put(&format!("{}.yaml", node.name()), &format!("{yaml}{spec}"))?;
    becomes(&scenario, true)?;
    scenario.agents[0].kill()?;
    let missing = scenario.cluster.scratch().join("kubeconfig").display().to_string();
    let mut agent = Agent::with_source(&scenario.cluster, 0, &["--kubeconfig", &missing], &mode);
    agent.launch()?;
    // It has taken over once it says what it misses.
    let away = || Some(agent.metrics().ok()?.sum("sluice_degraded", &["condition=\"api\""]) == 1.0).filter(|away| *away);
    wait::until(LATER, "the agent to run without objects", away).with_context(|| agent.log_tail(5))?;
    for family in Family::BOTH {
        ensure!(masqueraded(&scenario, family) == Some(true), "{family}: {:?}", masqueraded(&scenario, family));
    }
    Ok(())
}

#[test]
fn s38_packets_are_told_by_the_device_that_they_come_in_by() -> Result<()> {
    let mode = ["--detect-local-mode", "InterfaceNamePrefix", "--pod-interface-name-prefix"];
    becomes(&start("config-prefix", &[mode.as_slice(), &["veth"]].concat())?, true)?;
    becomes(&start("config-uplink", &[mode.as_slice(), &["eth"]].concat())?, false)
}

#[test]
fn an_agent_with_the_configuration_of_kubeadm_serves() -> Result<()> {
    let scenario = start("config-kubeadm", &["--config", KUBEADM])?;
    let (outside, client, node) = (scenario.cluster.outside(), scenario.client.as_ref(), scenario.cluster.node(0));
    for agent in &scenario.agents {
        let page = agent.healthz()?;
        ensure!(page.status == 200, "{}", page.head);
    }
    for (family, proto) in families_and_protocols() {
        for target in [Target::Near, Target::Far, Target::Both] {
            let (cluster_ip, node_port) = (target.cluster_ip(family), scenario.node_port(0, target, family));
            for (from, to) in [(client, cluster_ip), (node, cluster_ip), (client, node_port), (outside, node_port)] {
                let outcomes = from.probe(Probe::times(proto, to, 5))?;
                expect::answered(&format!("{} → {to} {proto}", from.name()), &outcomes, to, &scenario.backends(target))?;
            }
        }
    }
    let configz: Value = serde_json::from_str(&scenario.agents[0].page("/configz")?.body)?;
    let cidr = &configz["kubeproxy.config.k8s.io"]["clusterCIDR"];
    ensure!(cidr == "10.244.0.0/16,fd00:10:244::/56", "{cidr}: the file was not read");
    Ok(())
}

#[test]
fn s53_configz_and_the_log_tell_what_a_file_means() -> Result<()> {
    let file = std::env::temp_dir().join(format!("sluice-config-{}.yaml", std::process::id()));
    let text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\niptables: {minSyncPeriod: 20s}\n---\n\
                apiVersion: sluice.dev/v1alpha1\nkind: SluiceConfiguration\nxdp: \"off\"\n";
    fs::write(&file, text)?;
    let started = start("config-file", &["--config", &file.display().to_string()]);
    fs::remove_file(&file)?;
    let scenario = started?;
    let page = scenario.agents[0].page("/configz")?;
    ensure!(page.status == 200 && page.head.to_lowercase().contains("content-type: application/json"), "{}", page.head);
    let configz: Value = serde_json::from_str(&page.body)?;
    let (theirs, ours) = (&configz["kubeproxy.config.k8s.io"], &configz["sluice.dev"]);
    ensure!(theirs["iptables"]["minSyncPeriod"] == "20s" && theirs["mode"] == "iptables", "{theirs}");
    ensure!(ours["xdp"] == "off" && ours["masqueradeExternal"] == "always" && !ours["manifests"].is_null(), "{ours}");
    let log = scenario.agents[0].log();
    for words in
        ["field iptables.minSyncPeriod of the KubeProxyConfiguration has no meaning here", "all traffic from outside is masq"]
    {
        ensure!(log.matches(words).count() == 1, "{words}: {log}");
    }
    ensure!(scenario.agents[0].page("/proxyMode")?.body == "sluice");
    Ok(())
}

#[test]
fn an_agent_that_is_told_nothing_finds_cgroup_and_pins() -> Result<()> {
    let mut scenario = start("config-defaults", &[])?;
    scenario.agents[0].clean()?;
    scenario.agents[0] = Agent::as_on_a_host(&scenario.cluster, 0, scenario.manifests.path())?;
    scenario.agents[0].start()?;
    let (agent, node) = (&scenario.agents[0], scenario.cluster.node(0));
    let before = Hooks::of(agent)?;
    for (family, proto) in families_and_protocols() {
        let (cluster_ip, node_port) = (Target::Both.cluster_ip(family), scenario.node_port(0, Target::Both, family));
        for (from, to) in [(&*scenario.client, cluster_ip), (node, cluster_ip), (scenario.cluster.outside(), node_port)] {
            let outcomes = from.probe(Probe::times(proto, to, 5))?;
            expect::answered(&format!("{} → {to} {proto}", from.name()), &outcomes, to, &scenario.backends(Target::Both))?;
        }
    }
    let moved = before.moved(agent)?;
    ensure!(moved.sockets >= 20 && moved.tc_ingress > 0, "{}", moved.all);
    // So do the commands, where the agent is.
    let (pid, binary) = (agent.pid().context("no process")?.to_string(), sluice_tests::agent::binary()?.display().to_string());
    let status = || node.run("nsenter", &["--mount", "--target", &pid, &binary, "status"]);
    wait::until(LATER, "a status with the agent's report", || status().ok().filter(|text| text.contains("uplink")))
        .with_context(|| format!("{:?}", status()))?;
    Ok(())
}

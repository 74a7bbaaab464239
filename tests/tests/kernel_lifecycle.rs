//! Around the traffic: bad input harms nobody, the commands work without an agent, and cleanup leaves nothing.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sluice_tests::expect;
use sluice_tests::scenario::Target;
use sluice_tests::traffic::Probe;
use sluice_tests::{Attempt, Family, PodNetwork, Proto, Scenario, Spec, wait};

/// A change that takes longer is lost.
const SOON: Duration = Duration::from_secs(10);
/// A log that stands still for so long is at rest.
const REST: Duration = Duration::from_millis(500);

#[test]
fn cleanup_leaves_nothing_and_a_new_start_brings_all_back() -> Result<()> {
    let mut scenario = Scenario::start("lifecycle-cleanup", Spec::new(PodNetwork::Routed), &[])?;
    let to = Target::Both.cluster_ip(Family::V4);
    served(&scenario, Family::V4)?;
    scenario.agents[0].clean()?;
    let pins = scenario.cluster.pins(0);
    ensure!(!pins.exists() || pins.read_dir()?.next().is_none(), "pins are left in {}", pins.display());
    let outcomes = scenario.client.probe(Probe { timeout_ms: 300, ..Probe::once(Proto::Tcp, to) })?;
    ensure!(outcomes[0].result.is_err(), "the ClusterIP answers without any program: {outcomes:?}");
    // A signal that comes while an agent starts is answered as soon as it can be.
    scenario.agents[0].launch()?;
    wait::until(SOON, "pins of an agent that starts", || pins.join("maps").exists().then_some(()))?;
    ensure!(scenario.agents[0].stop()? == Some(0), "a start was cut off: {}", scenario.agents[0].log_tail(5));
    scenario.agents[0].start()?;
    served(&scenario, Family::V4)?;
    served(&scenario, Family::V6)
}

#[test]
fn cleanup_removes_nothing_of_a_running_agent_and_nothing_of_others() -> Result<()> {
    let mut scenario = Scenario::start("lifecycle-cleanup-refused", Spec::new(PodNetwork::Routed), &[])?;
    let to = Target::Both.cluster_ip(Family::V4);
    let pins = scenario.cluster.pins(0);
    ensure!(cleanup(&scenario, &pins)? == Some(15), "cleanup beside an agent");
    served(&scenario, Family::V4)?;
    scenario.agents[0].kill()?;

    let elsewhere = scenario.cluster.scratch().join("elsewhere");
    let file = elsewhere.join("maps").join("FRONTENDS");
    std::fs::create_dir_all(elsewhere.join("maps"))?;
    std::fs::write(&file, "of somebody else")?;
    ensure!(cleanup(&scenario, &elsewhere)? == Some(13) && file.exists(), "cleanup on another file system");

    let stranger = pins.join("links").join("stranger");
    std::fs::hard_link(pins.join("maps").join("CONFIG"), &stranger)?;
    ensure!(cleanup(&scenario, &pins)? == Some(0) && stranger.exists(), "a pin among the links that is no link");
    ensure!(!pins.join("maps").exists() && pins.join("links").read_dir()?.count() == 1, "pins of ours are left");
    let outcomes = scenario.client.probe(Probe { timeout_ms: 300, ..Probe::once(Proto::Tcp, to) })?;
    ensure!(outcomes[0].result.is_err(), "the ClusterIP answers without any program: {outcomes:?}");
    Ok(())
}

/// The exit code of `sluice cleanup` for a folder of pins.
fn cleanup(scenario: &Scenario, pins: &Path) -> Result<Option<i32>> {
    let node = scenario.cluster.node(0);
    let mut command = node.command(sluice_tests::agent::binary()?);
    command.arg("cleanup").arg("--bpffs").arg(pins).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(node.spawn_command(command)?.wait()?.code())
}

#[test]
fn a_broken_manifest_is_reported_and_what_it_defined_stays() -> Result<()> {
    let scenario = Scenario::start("lifecycle-broken", Spec::new(PodNetwork::Routed), &[])?;
    scenario.manifests.put("both.yaml", "apiVersion: v1\nkind: Service\nmetadata:\n  name: [both\n")?;
    let agent = &scenario.agents[0];
    wait::until(SOON, "a line of the log about the file", || {
        let log = agent.log();
        log.lines().any(|line| line.contains("both.yaml:4: ")).then_some(())
    })
    .with_context(|| agent.log_tail(5))?;
    let degraded = |wanted: f64| {
        let found = || agent.metrics().ok().map(|metrics| metrics.sum("sluice_degraded", &["condition=\"manifests\""]));
        wait::until(SOON, "metrics to say how manifests are", || found().filter(|found| *found == wanted)).map(drop)
    };
    degraded(1.0)?;
    let status = agent.cli(&["status"])?;
    ensure!(status.contains("both.yaml:4: "), "{status}");
    served(&scenario, Family::V4)?;
    // Other files are still followed, and the mended one too.
    scenario.set_endpoints(Target::Nobody, &[(&scenario.near, "node1")])?;
    let revived = Target::Nobody.cluster_ip(Family::V6);
    wait::until(SOON, "the other Service", || scenario.client.dial(Proto::Tcp, revived).ok()?.result.ok())?;
    scenario.set_endpoints(Target::Both, &[(&scenario.far, "node2")])?;
    wait::until(SOON, "the mended Service", || {
        let outcomes = scenario.client.probe(Probe::times(Proto::Tcp, Target::Both.cluster_ip(Family::V4), 10)).ok()?;
        outcomes.iter().all(|outcome| outcome.result.as_ref().is_ok_and(|answer| answer.by == "far")).then_some(())
    })?;
    scenario.manifests.remove("both.yaml")?;
    degraded(0.0)
}

#[test]
fn a_senseless_endpoint_harms_no_other() -> Result<()> {
    let scenario = Scenario::start("lifecycle-senseless", Spec::new(PodNetwork::Routed), &[])?;
    let slice = Target::Both.service().slice(Family::V4);
    let slice = ["0.0.0.0", "127.0.0.1", "224.0.0.1"]
        .iter()
        .try_fold(slice, |slice, ip| -> Result<_> { Ok(slice.endpoint(ip.parse()?, "node1")) })?;
    scenario.manifests.put_slice(&slice.endpoint(scenario.far.ip(Family::V4), "node2"))?;
    let to = Target::Both.cluster_ip(Family::V4);
    wait::until(SOON, "the endpoint that makes sense", || {
        let outcomes = scenario.client.probe(Probe::times(Proto::Tcp, to, 10)).ok()?;
        outcomes.iter().all(|outcome| outcome.result.as_ref().is_ok_and(|answer| answer.by == "far")).then_some(())
    })?;
    wait::until(SOON, "three rejections to be counted", || {
        let rejected = scenario.agents[0].metrics().ok()?.sum("sluice_rejected_objects", &[]);
        (rejected >= 3.0).then_some(())
    })?;
    let log = scenario.agents[0].log();
    let told = ["left out: EndpointSlice default/both-ipv4: endpoint 0.0.0.0", "(and 2 more)"];
    ensure!(log.lines().any(|line| told.iter().all(|words| line.contains(words))), "{log}");
    served(&scenario, Family::V6)
}

#[test]
fn the_log_has_one_line_for_each_change_and_none_for_packets() -> Result<()> {
    let scenario = Scenario::start("lifecycle-log", Spec::new(PodNetwork::Routed), &["--log-format", "json"])?;
    let agent = &scenario.agents[0];
    // Its lines once it says nothing more.
    let lines = || -> Result<Vec<Value>> {
        let text = wait::until(SOON, "a log at rest", || {
            let once = agent.log();
            thread::sleep(REST);
            (agent.log() == once).then_some(once)
        })?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let before = lines()?.len();
    for family in Family::BOTH {
        served(&scenario, family)?;
    }
    ensure!(lines()?.len() == before, "packets are logged: {}", agent.log_tail(5));
    scenario.set_endpoints(Target::Both, &[(&scenario.far, "node2")])?;
    wait::until(SOON, "a line about the change", || (agent.log().lines().count() > before).then_some(()))?;
    let changes = lines()?.split_off(before);
    ensure!(changes.len() == 4, "a line for each service port in each family: {changes:?}");
    for change in changes {
        let name = change["service"].as_str().unwrap_or_default();
        ensure!(change["level"] == "INFO" && change["message"] == "updated" && name.starts_with("default/both"), "{change}");
    }
    Ok(())
}

#[test]
fn the_file_system_of_pins_is_mounted_where_it_is_missing() -> Result<()> {
    let mut scenario = Scenario::start("lifecycle-bpffs", Spec::new(PodNetwork::Routed), &[])?;
    let agent = &mut scenario.agents[0];
    agent.clean()?;
    agent.wrap(&["unshare", "--mount", "sh", "-c", "umount --lazy /sys/fs/bpf && exec \"$@\"", "sh"]);
    agent.start()?;
    ensure!(agent.log().contains("mounted the bpf file system"), "{}", agent.log_tail(20));
    ensure!(!scenario.cluster.pins(0).exists(), "it was there");
    served(&scenario, Family::V4)?;
    served(&scenario, Family::V6)
}

#[test]
fn the_commands_work_without_an_agent() -> Result<()> {
    let mut scenario = Scenario::start("lifecycle-commands", Spec::new(PodNetwork::Routed), &[])?;
    let outside = scenario.cluster.outside();
    let node_port = scenario.node_port(0, Target::Far, Family::V4);
    expect::answered(&"NodePort", &outside.probe(Probe::times(Proto::Tcp, node_port, 3))?, node_port, &["far"])?;
    for down in [false, true] {
        let agent = &scenario.agents[0];
        for (command, word) in [
            ("services", "both"),
            ("backends", &scenario.far.ip(Family::V4).to_string()),
            ("flows", &outside.ip(Family::V4).to_string()),
            ("status", "eth0"),
        ] {
            for format in [&[][..], &["-o", "wide"], &["-o", "json"]] {
                let text = agent.cli(&[&[command], format].concat())?;
                ensure!(text.contains(word), "sluice {command} {format:?}, agent down: {down}: no {word} in\n{text}");
                ensure!(format != ["-o", "json"] || serde_json::from_str::<Value>(&text).is_ok(), "{text}");
            }
        }
        if !down {
            scenario.agents[0].kill()?;
        }
    }
    Ok(())
}

#[test]
fn a_start_that_cannot_be_says_why() -> Result<()> {
    let scenario = Scenario::start("lifecycle-refused", Spec::new(PodNetwork::Routed), &[])?;
    let attempt = Attempt::new(&scenario);
    let (file, text) = (scenario.cluster.scratch().join("config.yaml"), "kind: KubeProxyConfiguration\nipvs: {shedule: rr}\n");
    std::fs::write(&file, format!("apiVersion: kubeproxy.config.k8s.io/v1alpha1\n{text}"))?;
    let file = file.display().to_string();
    let cases: [(&[&str], &str, i32); 3] = [
        (&["--config", &file], "shedule", 2),
        (&["--no-such-flag"], "--no-such-flag", 2),
        (&["--cluster-cidr", "10.0.0.0/99"], "10.0.0.0/99", 2),
    ];
    for (flags, word, code) in cases {
        attempt.clone().flags(flags).refused(&scenario, code, word)?;
    }
    Attempt { cgroup: Some("/nowhere/cgroup".into()), ..attempt.clone() }.refused(&scenario, 14, "/nowhere/cgroup")?;
    let source = vec!["--manifests".into(), "/nowhere/manifests".into()];
    Attempt { source, ..attempt }.refused(&scenario, 2, "/nowhere/manifests")?;
    served(&scenario, Family::V4)
}

fn served(scenario: &Scenario, family: Family) -> Result<()> {
    let to = Target::Both.cluster_ip(family);
    let outcomes = scenario.client.probe(Probe::times(Proto::Tcp, to, 10))?;
    expect::answered(&to, &outcomes, to, &["near", "far"]).map(drop)
}

//! The harness proves itself, without an agent: in every pod network all reach all, in both families and protocols, with
//! offload and without, and every checksum on the wire is sound.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_tests::traffic::{Close, Held, HeldReport, Load, LoadReport, Probe, Target, TargetReport, Traffic, Unconnected};
use sluice_tests::{Cluster, Family, Host, PodNetwork, Proto, Rig, Spec, cgroup, wait};

const PORT: u16 = 8080;
/// When a load that shows no change is given up.
const PATIENCE: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

#[test]
fn routed_pods_reach_all() -> Result<()> {
    all_reach_all(Cluster::build("harness-routed", Spec::new(PodNetwork::Routed))?)
}

#[test]
fn bridged_pods_reach_all() -> Result<()> {
    all_reach_all(Cluster::build("harness-bridged", Spec::new(PodNetwork::Bridged))?)
}

#[test]
fn overlay_pods_reach_all() -> Result<()> {
    all_reach_all(Cluster::build("harness-overlay", Spec::new(PodNetwork::Overlay))?)
}

#[test]
fn the_outside_client_may_be_behind_a_router() -> Result<()> {
    all_reach_all(Cluster::build("harness-router", Spec::new(PodNetwork::Routed).behind_router())?)
}

#[test]
fn a_physical_wire_carries_all() -> Result<()> {
    let cluster = Cluster::build("harness-physical", Spec::new(PodNetwork::Bridged))?;
    cluster.make_wire_physical()?;
    all_reach_all(cluster)
}

#[test]
fn a_pod_may_go_and_its_address_be_given_again() -> Result<()> {
    let cluster = Cluster::build("harness-pods", Spec::new(PodNetwork::Routed))?;
    let pod = cluster.add_pod_at(0, "first", 7)?;
    let server = pod.serve(&[PORT])?;
    let address = pod.at(Family::V4, PORT);
    ensure!(cluster.node(1).dial(Proto::Tcp, address)?.result.is_ok());
    cluster.remove_pod("first")?;
    drop(server);
    let refused = cluster.node(0).probe(Probe { timeout_ms: 300, ..Probe::once(Proto::Tcp, address) })?;
    ensure!(refused[0].result.is_err(), "a pod that is gone answers");
    let _server = cluster.add_pod_at(0, "second", 7)?.serve(&[PORT])?;
    let outcome = cluster.node(1).dial(Proto::Tcp, address)?;
    ensure!(outcome.result.is_ok_and(|answer| answer.by == "second"));
    Ok(())
}

#[test]
fn loads_and_held_connections_report_what_happened() -> Result<()> {
    let cluster = Cluster::build("harness-load", Spec::new(PodNetwork::Routed))?;
    let pod = cluster.add_pod(0, "web")?;
    let server = pod.serve(&[PORT])?;
    let targets: Vec<Target> = cases().into_iter().map(|(family, proto)| Target::new(proto, pod.at(family, PORT))).collect();
    let held =
        cluster.outside().hold(Held { targets: targets.clone(), count: 5, bind: None, interval_ms: 20, timeout_ms: 1000 })?;
    let load = cluster.outside().load(Load { limit: 100, ..Load::new(targets.clone(), 500) })?;
    let report: LoadReport = { load }.report(Duration::from_secs(10))?;
    ensure!(report.failed() == 0, "{}", report.failures());
    ensure!(report.targets.iter().all(|target| target.answerers["web"].count == target.requests && target.requests >= 100));
    let report: HeldReport = held.finish()?;
    ensure!(report.opened == 20 && report.broken.is_empty() && report.unanswered == 0 && report.exchanges >= 20, "{report:?}");

    // A flow of UDP begins with a datagram: ready means that each has asked.
    let once = Held { targets: targets.clone(), count: 5, bind: None, interval_ms: 60_000, timeout_ms: 1000 };
    let report: HeldReport = cluster.outside().hold(once)?.finish()?;
    ensure!(report.opened == 20 && report.exchanges == 20, "{report:?}");

    let mut load = cluster.outside().load(Load { timeout_ms: 200, ..Load::new(targets, 50) })?;
    let each = |load: &mut Traffic, holds: fn(&TargetReport) -> bool| {
        let progress = load.progress();
        (progress.targets.len() == cases().len() && progress.targets.iter().all(holds)).then_some(())
    };
    wait::until(PATIENCE, "an answer to each", || each(&mut load, |target| target.failed < target.requests))?;
    drop(server);
    wait::until(PATIENCE, "a failure of each", || each(&mut load, |target| target.failed > 0))?;
    let report: LoadReport = load.finish()?;
    ensure!(report.targets.iter().all(|target| target.failed > 0 && target.failed < target.requests), "{report:?}");
    Ok(())
}

#[test]
fn one_socket_talks_to_many() -> Result<()> {
    let cluster = Cluster::build("harness-talk", Spec::new(PodNetwork::Routed))?;
    let pods = [cluster.add_pod(0, "a")?, cluster.add_pod(1, "b")?];
    let _servers = [pods[0].serve(&[PORT])?, pods[1].serve(&[PORT])?];
    let targets: Vec<_> = pods.iter().flat_map(|pod| Family::BOTH.map(|family| pod.at(family, PORT))).collect();
    let task =
        Unconnected { targets: targets.clone(), dual: true, connect: None, rounds: 20, timeout_ms: 1000, interval_ms: 0 };
    let report = cluster.node(0).talk(task)?;
    ensure!(report.strangers.is_empty() && report.lost.is_empty() && report.errors.is_empty(), "{report:?}");
    ensure!(targets.iter().all(|target| report.answered[target] == 20), "{report:?}");
    Ok(())
}

/// Set for the process that is to be killed.
const VICTIM: &str = "SLUICE_TEST_VICTIM";

#[test]
fn a_killed_run_leaves_nothing_behind() -> Result<()> {
    if env::var_os(VICTIM).is_some() {
        let cluster = Cluster::build("harness-victim", Spec::new(PodNetwork::Routed))?;
        let _server = cluster.add_pod(0, "web")?.serve(&[PORT])?;
        loop {
            thread::park();
        }
    }
    for signal in [Signal::SIGKILL, Signal::SIGINT, Signal::SIGTERM] {
        let mut victim = Command::new(env::current_exe()?)
            .args(["--exact", "a_killed_run_leaves_nothing_behind"])
            .env(VICTIM, "1")
            .stdout(Stdio::null())
            .spawn()?;
        wait::until(Duration::from_secs(10), "the victim's pod", || (remains().len() >= 5).then_some(()))?;
        kill(Pid::from_raw(victim.id().try_into()?), signal)?;
        victim.wait()?;
        wait::until(Duration::from_secs(5), "the janitor", || remains().is_empty().then_some(()))
            .with_context(|| format!("after {signal}: {:?} is left", remains()))?;
    }
    Ok(())
}

#[test]
fn a_rig_leaves_another_alone_whose_name_begins_with_its_own() -> Result<()> {
    let (short, long) = (Rig::new("harness-name")?, Rig::new("harness-name-longer")?);
    let netns = long.netns("a")?;
    drop(short);
    ensure!(netns.path().exists(), "{} is gone", netns.name());
    Ok(())
}

/// What is on the machine of the victim's: namespaces, and its cgroup.
fn remains() -> Vec<PathBuf> {
    let folders =
        [PathBuf::from("/run/netns"), cgroup::mount().unwrap_or_default(), PathBuf::from("/sys/fs/bpf"), env::temp_dir()];
    let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten().map(|entry| entry.path());
    let names = ["sluice-harness-victim_", "sluice-test-harness-victim"];
    let is_of_victim = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name == "sluice-harness-victim" || names.iter().any(|prefix| name.starts_with(prefix))
    };
    entries.filter(is_of_victim).collect()
}

fn cases() -> Vec<(Family, Proto)> {
    Family::BOTH.into_iter().flat_map(|family| Proto::BOTH.map(|proto| (family, proto))).collect()
}

fn all_reach_all(cluster: Cluster) -> Result<()> {
    let pods = [cluster.add_pod(0, "a1")?, cluster.add_pod(0, "a2")?, cluster.add_pod(1, "b1")?];
    let _servers: Vec<_> = pods.iter().map(|pod| pod.serve(&[PORT])).collect::<Result<_>>()?;
    let hosts: Vec<&Host> =
        pods.iter().map(AsRef::as_ref).chain([cluster.node(0), cluster.node(1), cluster.outside()]).collect();
    exchange(&hosts, &pods)?;
    for host in &hosts {
        host.offload_off()?;
    }
    let sniffers = hosts.iter().map(|host| host.sniff()).collect::<Result<Vec<_>>>()?;
    exchange(&hosts, &pods)?;
    for (sniffer, host) in sniffers.into_iter().zip(&hosts) {
        let capture = sniffer.finish()?;
        capture.expect_sound().map_err(|error| error.context(format!("at {}", host.name())))?;
    }
    Ok(())
}

/// Every host dials every pod: the pod sees the client's own address, since nothing translates here.
fn exchange(hosts: &[&Host], pods: &[std::sync::Arc<Host>]) -> Result<()> {
    for client in hosts {
        for pod in pods.iter().filter(|pod| pod.name() != client.name()) {
            for (family, proto) in cases() {
                let probe = Probe { close: Close::Server, ..Probe::times(proto, pod.at(family, PORT), 2) };
                for outcome in client.probe(probe)? {
                    let case = format!("{} → {} {family} {proto}: {outcome:?}", client.name(), pod.name());
                    let answer = outcome.result.map_err(|failure| anyhow::anyhow!("{case}: {failure}"))?;
                    ensure!(answer.by == pod.name() && Some(answer.peer) == outcome.local, "{case}");
                }
            }
            let report = client.stream(pod.at(Family::V6, PORT), 2 * MIB)?;
            ensure!(report.failure.is_none() && report.equal == 2 * MIB, "{} → {}: {report:?}", client.name(), pod.name());
        }
    }
    Ok(())
}

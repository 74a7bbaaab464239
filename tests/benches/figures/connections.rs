//! What a connection costs: through a ClusterIP, through NodePorts, and past all of it; with Sluice and with kube-proxy.

use anyhow::Result;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use sluice_tests::bench::{Figure, Target};

use super::load::{self, Lane, Work};
use super::world::{Pods, Proxy, World};

/// Measures all lanes in `rounds` rounds.
pub fn measure(rounds: usize) -> Result<Vec<Figure>> {
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)?;
    let world = World::build()?;
    let mut figures = inside(&world, rounds)?;
    figures.push(stream(&world, rounds)?);
    figures.extend(outside(&world, rounds)?);
    Ok(figures)
}

/// Pods of one node: dialled directly without a proxy, with each of the two, and through their ClusterIPs.
fn inside(world: &World, rounds: usize) -> Result<Vec<Figure>> {
    let [before, service, after] = both_ways(&world.sluice);
    let [kube_before, kube_service, kube_after] = both_ways(&world.kube_proxy);
    let [bare, bare_again, bare_last] = [0, 1, 2].map(|turn| world.bare.direct(turn));
    let lanes = [bare, before, service, after, bare_again, kube_before, kube_service, kube_after, bare_last];
    let rates = load::race(&lanes, Work::Requests, rounds)?;
    let [first, before, service, after, second, kube_before, kube_service, kube_after, third] = &rates[..] else {
        unreachable!("nine lanes")
    };
    Ok(vec![
        ratio("crr: ClusterIP ÷ pod", service, (before, after)).target(Target::AtLeast(0.97)),
        ratio("crr: pod, node with Sluice ÷ without", &means(before, after), (first, second)).target(Target::AtLeast(0.95)),
        ratio("crr: ClusterIP: kube-proxy nftables ÷ pod", kube_service, (kube_before, kube_after)),
        ratio("crr: pod, node with kube-proxy nftables ÷ without", &means(kube_before, kube_after), (second, third)),
    ])
}

fn both_ways(pods: &Pods) -> [Lane<'_>; 3] {
    [pods.direct(0), pods.service(), pods.direct(1)]
}

/// One TCP stream.
fn stream(world: &World, rounds: usize) -> Result<Figure> {
    let lanes = both_ways(&world.sluice);
    let rates = load::race(&lanes, Work::Stream, rounds)?;
    Ok(ratio("stream: ClusterIP ÷ pod", &rates[1], (&rates[0], &rates[2])).target(Target::AtLeast(0.98)))
}

/// The outside client: over the node's own forwarding, and over one node more; both proxies in the same rounds.
fn outside(world: &World, rounds: usize) -> Result<Vec<Figure>> {
    let bare = [0, 1, 2].map(|turn| world.to_pod(&world.bare, turn));
    let hops = [0, 1, 2].map(|turn| world.over_hop(turn));
    let [own, own_again] = [0, 1].map(|turn| world.to_pod(&world.sluice, turn));
    let [kube, kube_again] = [0, 1].map(|turn| world.to_pod(&world.kube_proxy, turn));
    let ([near, kube_near], [far, kube_far]) = (
        [Proxy::Sluice, Proxy::KubeProxy].map(|proxy| world.near(proxy)),
        [Proxy::Sluice, Proxy::KubeProxy].map(|proxy| world.far(proxy)),
    );
    let [bare, bare_again, bare_last] = bare;
    let [hop, hop_again, hop_last] = hops;
    let lanes = [
        bare, own, near, own_again, bare_again, kube, kube_near, kube_again, bare_last, hop, far, hop_again, kube_far, hop_last,
    ];
    let rates = load::race(&lanes, Work::Requests, rounds)?;
    let beside = |name: &str, place: usize, by: usize| ratio(name, &rates[place], (&rates[place - by], &rates[place + by]));
    Ok(vec![
        beside("crr: NodePort, local backend ÷ pod, same node", 2, 1).target(Target::AtLeast(0.95)),
        beside("crr: NodePort, local backend ÷ pod, node without", 2, 2),
        beside("crr: NodePort, local: kube-proxy nftables ÷ pod, same node", 6, 1),
        beside("crr: NodePort, local: kube-proxy nftables ÷ pod, node without", 6, 2),
        beside("crr: NodePort, remote backend ÷ bare hop", 10, 1).target(Target::AtLeast(0.90)),
        beside("crr: NodePort, remote: kube-proxy nftables ÷ bare hop", 12, 1),
    ])
}

/// A rate divided by the mean of its two neighbours, round by round, beside the second neighbour divided by the first.
fn ratio(name: &str, rates: &[f64], (before, after): (&[f64], &[f64])) -> Figure {
    let divide = |over: &[f64], under: &[f64]| over.iter().zip(under).map(|(a, b)| a / b).collect::<Vec<f64>>();
    Figure::new(name, "ratio", &divide(rates, &means(before, after))).beside(&divide(after, before))
}

fn means(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(a, b)| (a + b) / 2.0).collect()
}

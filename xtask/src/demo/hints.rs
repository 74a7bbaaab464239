//! What to try in a cluster that was left up.

use std::process::{Command, Stdio};

use anyhow::Result;
use sluice_tests::Cluster;

use super::apps::{HELLO, RESULT, VOTE};
use crate::paths;

/// Prints how to enter a node and what to ask there.
pub fn print(cluster: &Cluster) -> Result<()> {
    let (node, sluice, pins) = (cluster.node(0), paths::sluice().display().to_string(), cluster.pins(0).display().to_string());
    let cgroup = node.cgroup().path().display();
    let outside = cluster.outside().netns().name();
    let address = node.ip(sluice_tests::Family::V4);
    println!("\nThe cluster stays up. A shell on {}, as one of its processes:", node.name());
    println!("  sh -c 'echo $$ > {cgroup}/cgroup.procs; exec nsenter --net=/run/netns/{} bash'", node.netns().name());
    println!("and there{}:", if has_curl() { "" } else { " (after: apt-get install curl)" });
    println!("  curl localhost:{}; curl localhost:{VOTE}/vote/cats; curl localhost:{RESULT}", HELLO[1]);
    for command in ["services", "backends", "flows", "status"] {
        println!("  {sluice} {command} --bpffs {pins}");
    }
    println!("From outside: ip netns exec {outside} curl {address}:{}", HELLO[1]);
    println!("The manifests, to edit: {}/manifests", cluster.scratch().display());
    println!("To remove it all: cargo xtask demo --clean");
    Ok(())
}

fn has_curl() -> bool {
    Command::new("curl").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

//! The demonstration from its flags to its exit code.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use sluice_tests::{Cluster, PodNetwork, Spec, reap};

use crate::machine;

use super::{chapters, hints, prepare, story};

/// Names everything that the demonstration makes on the machine.
const NAME: &str = "demo";

/// What to show.
#[derive(clap::Args)]
pub struct Options {
    /// Leave the cluster up, and print how to enter a node and which commands to try
    #[arg(long, conflicts_with = "clean")]
    keep: bool,
    /// Remove a cluster that --keep left up, and do nothing else
    #[arg(long)]
    clean: bool,
    /// How the pods are attached
    #[arg(long, value_enum, default_value = "bridged")]
    network: Network,
}

#[derive(Clone, Copy, ValueEnum)]
enum Network {
    /// A veth with a host route for each pod
    Routed,
    /// A bridge on each node
    Bridged,
    /// A bridge on each node, VXLAN between the nodes
    Overlay,
}

impl From<Network> for PodNetwork {
    fn from(network: Network) -> Self {
        match network {
            Network::Routed => Self::Routed,
            Network::Bridged => Self::Bridged,
            Network::Overlay => Self::Overlay,
        }
    }
}

/// Tells the story.
pub fn run(options: &Options) -> Result<ExitCode> {
    machine::check("demo")?;
    if options.clean {
        reap(NAME)?;
        println!("demo: nothing is left of the cluster");
        return Ok(ExitCode::SUCCESS);
    }
    prepare::build()?;
    let cluster = Cluster::build(NAME, Spec::new(options.network.into()))?;
    let mut story = story::Story::begin(&cluster)?;
    let told = chapters::tell(&mut story);
    if told.is_err() {
        story.print_logs();
    }
    if options.keep {
        story.leave();
        hints::print(&cluster)?;
        cluster.keep()?;
    }
    Ok(if told? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `sluice status`: whether the agent runs, what is attached where and why, how full tables are, and what is wrong.

use super::instance::{self, LookArgs};
use super::output::{Format, print, print_json, terminal_width};
use crate::attach::{links, sys::Link};
use crate::maps::TableUse;
use crate::serve::report::Report;
use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use std::path::Path;

/// Flags of `sluice status`.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Which instance, and how to print.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Everything the command shows.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The pin folder.
    pub bpffs: String,
    /// Whether the agent runs.
    pub running: bool,
    /// What the agent reported last.
    pub report: Option<Report>,
    /// Pinned links.
    pub links: Vec<PinnedLink>,
    /// How full tables are.
    pub tables: Vec<Table>,
}

/// A link that holds a program at its hook, whether the agent runs or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedLink {
    /// The hook: the program's name.
    pub hook: String,
    /// The device; none for a socket hook.
    pub device: Option<String>,
    /// The kernel's id of the program.
    pub program: Option<u32>,
    /// Whether what it hangs on is still there.
    pub alive: bool,
}

/// How full a table is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Its name.
    pub map: &'static str,
    /// Entries in use.
    pub used: u32,
    /// Entries that fit.
    pub capacity: u32,
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let bpffs = &args.look.bpffs;
    let usage = instance::tables(bpffs)?.usage().context("can't count the entries of the tables")?;
    let status = Status {
        bpffs: bpffs.display().to_string(),
        running: instance::is_running(bpffs),
        report: instance::report(bpffs),
        links: pinned_links(&bpffs.join("links"))?,
        tables: usage.iter().map(Table::from).collect(),
    };
    match args.look.output {
        Format::Json => print_json(&status)?,
        format => print(&status.render(format, terminal_width(), Timestamp::now()))?,
    }
    Ok(())
}

impl From<&TableUse> for Table {
    fn from(usage: &TableUse) -> Self {
        Self { map: usage.map.as_str(), used: usage.used, capacity: usage.capacity }
    }
}

fn pinned_links(folder: &Path) -> Result<Vec<PinnedLink>, links::LinkError> {
    Ok(links::pins(folder)?.iter().map(|pin| pinned_link(pin, Link::open(&folder.join(pin)).ok().as_ref())).collect())
}

fn pinned_link(pin: &str, link: Option<&Link>) -> PinnedLink {
    let (hook, device) = pin.split_once('-').map_or((pin, None), |(hook, device)| (hook, Some(device.replace(':', "."))));
    PinnedLink {
        hook: hook.to_owned(),
        device,
        program: link.and_then(|link| link.program().ok()),
        alive: link.and_then(|link| link.target().ok()).is_some_and(|target| target.exists()),
    }
}

//! `sluice backends`: every endpoint in force, with its service port.

use super::filter::ServiceFilter;
use super::instance::{self, LookArgs};
use super::output::{Format, Value, columns, print, print_json, terminal_width};
use super::rows::{BackendRow, ServicePort};
use crate::maps::ServiceView;
use anyhow::Context;
use clap::Args;
use serde::Serialize;

/// Flags of `sluice backends`.
#[derive(Args, Clone, Debug)]
pub struct BackendsArgs {
    /// Which instance, and how to print.
    #[command(flatten)]
    pub look: LookArgs,
    /// Those of one Service alone: namespace/name, or namespace/name:port
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<ServiceFilter>,
}

/// An endpoint and the service port it serves.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// As the tables have it.
    #[serde(flatten)]
    pub row: BackendRow,
    /// Whom it serves.
    pub service: ServicePort,
}

/// Everything the command shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Endpoints, by service port and address.
    pub backends: Vec<Entry>,
}

/// Runs the command.
pub fn run(args: &BackendsArgs) -> anyhow::Result<()> {
    let views = instance::tables(&args.look.bpffs)?.services().context("can't read the tables")?;
    let mut listing = Listing::new(&views);
    if let Some(filter) = &args.service {
        listing.backends.retain(|entry| filter.matches(&entry.service));
    }
    match args.look.output {
        Format::Json => print_json(&listing)?,
        format => print(&listing.render(format, terminal_width()))?,
    }
    Ok(())
}

impl Listing {
    /// The backends of all views.
    pub fn new(views: &[ServiceView]) -> Self {
        let of = |view: &ServiceView| {
            let service = ServicePort::new(&view.name);
            let entry = |backend| Entry { row: BackendRow::from(backend), service: service.clone() };
            view.backends.iter().map(entry).collect::<Vec<_>>()
        };
        Self { backends: views.iter().flat_map(of).collect() }
    }

    /// As text; `width` is the terminal's.
    pub fn render(&self, format: Format, width: Option<u16>) -> String {
        if self.backends.is_empty() {
            return "No Service in force has an endpoint.".to_owned();
        }
        let wide = format == Format::Wide;
        let header: &[&str] = if wide {
            &["BACKEND", "STATE", "LOCAL", "SERVICE", "PROTO", "FAMILY", "SETS", "ID", "GENERATION"]
        } else {
            &["BACKEND", "STATE", "LOCAL", "SERVICE", "PROTO"]
        };
        let rows = self.backends.iter().map(|entry| row(entry, wide)).collect();
        columns(header, rows, width.filter(|_| !wide))
    }
}

fn sets(entry: &Entry) -> String {
    if entry.row.sets.is_empty() { "-".to_owned() } else { entry.row.sets.join(", ") }
}

fn row(entry: &Entry, wide: bool) -> Vec<Value> {
    let mut cells: Vec<Value> = vec![
        entry.row.address.to_string().into(),
        entry.row.state.as_str().into(),
        if entry.row.local { "yes" } else { "no" }.into(),
        entry.service.title().into(),
        entry.service.protocol.into(),
    ];
    if wide {
        cells.extend([
            entry.service.family.into(),
            sets(entry).into(),
            u64::from(entry.row.id).into(),
            u64::from(entry.row.generation).into(),
        ]);
    }
    cells
}

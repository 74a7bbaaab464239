//! `sluice services`: every service port in force, and what of the cluster's Services is not.

use super::filter::ServiceFilter;
use super::instance::{self, LookArgs, LookError};
use super::output::{Format, Value, columns, duration, lines, print, print_json, terminal_width};
use super::rows::{BackendWord, ServiceRow};
use crate::config::Algorithm;
use crate::maps::{MapError, Reader, ServiceView};
use crate::serve::report::{Rejection, Report};
use anyhow::Context;
use clap::Args;
use serde::Serialize;

const LEFT_OUT: [&str; 3] = ["LEFT OUT", "REASON", "MESSAGE"];

/// Flags of `sluice services`.
#[derive(Args, Clone, Debug)]
pub struct ServicesArgs {
    /// Which instance, and how to print.
    #[command(flatten)]
    pub look: LookArgs,
    /// One Service alone: namespace/name, or namespace/name:port
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<ServiceFilter>,
    /// What was left out alone, all of it, each with the reason
    #[arg(long)]
    pub rejected: bool,
}

/// A service port with what stands elsewhere than in its tables.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// As the tables have it.
    #[serde(flatten)]
    pub row: ServiceRow,
    /// New connections so far, of sockets and packets.
    pub connections: u64,
}

/// Everything the command shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Service ports in force.
    pub services: Vec<Entry>,
    /// What was left out, by the agent's last report.
    pub rejected: Vec<Rejection>,
}

/// What `--rejected` shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rejected {
    /// By kind, namespace and name.
    pub rejected: Vec<Rejection>,
}

/// Runs the command.
pub fn run(args: &ServicesArgs) -> anyhow::Result<()> {
    if args.rejected {
        return rejected(args);
    }
    let reader = instance::tables(&args.look.bpffs)?;
    let views = counted(&reader).context("can't read the tables")?;
    let mut listing = Listing::new(&views, instance::report(&args.look.bpffs).as_ref());
    if let Some(filter) = &args.service {
        listing.keep(filter);
    }
    match args.look.output {
        Format::Json => print_json(&listing)?,
        format => print(&listing.render(format, terminal_width()))?,
    }
    Ok(())
}

fn rejected(args: &ServicesArgs) -> anyhow::Result<()> {
    let report = instance::report(&args.look.bpffs).ok_or_else(|| LookError::NoInstance(args.look.bpffs.clone()))?;
    let mut rejected = Rejected { rejected: report.rejections };
    if let Some(filter) = &args.service {
        rejected.rejected.retain(|rejection| concerns(filter, rejection));
    }
    match args.look.output {
        Format::Json => print_json(&rejected)?,
        Format::Wide => print(&rejected.render(None))?,
        Format::Table => print(&rejected.render(terminal_width()))?,
    }
    Ok(())
}

impl Rejected {
    /// As text; `width` is the terminal's.
    pub fn render(&self, width: Option<u16>) -> String {
        if self.rejected.is_empty() {
            return "Nothing was left out.".to_owned();
        }
        columns(&LEFT_OUT, self.rejected.iter().map(rejected_row).collect(), width)
    }
}

fn concerns(filter: &ServiceFilter, rejection: &Rejection) -> bool {
    rejection.service.as_ref().is_some_and(|name| filter.names(&rejection.namespace, name))
}

fn counted(reader: &Reader) -> Result<Vec<(ServiceView, u64)>, MapError> {
    let views = reader.services()?;
    views.into_iter().map(|view| reader.connections(view.id).map(|connections| (view, connections))).collect()
}

impl Listing {
    /// Views and their connection counts, with what the agent reported.
    pub fn new(views: &[(ServiceView, u64)], report: Option<&Report>) -> Self {
        let services =
            views.iter().map(|(view, connections)| Entry { row: ServiceRow::from(view), connections: *connections }).collect();
        Self { services, rejected: report.map(|report| report.rejections.clone()).unwrap_or_default() }
    }

    /// Leaves one Service.
    fn keep(&mut self, filter: &ServiceFilter) {
        self.services.retain(|entry| filter.matches(&entry.row.who));
        self.rejected.retain(|rejection| concerns(filter, rejection));
    }

    /// As text; `width` is the terminal's.
    pub fn render(&self, format: Format, width: Option<u16>) -> String {
        if self.services.is_empty() && self.rejected.is_empty() {
            return "No Service is in force.".to_owned();
        }
        let wide = format == Format::Wide;
        let width = width.filter(|_| !wide);
        let header: &[&str] = if wide {
            &["SERVICE", "PROTO", "FAMILY", "FRONTENDS", "POLICIES", "READY", "BACKENDS", "CONNECTIONS", "ID"]
        } else {
            &["SERVICE", "PROTO", "FRONTENDS", "READY", "CONNS"]
        };
        let rows = self.services.iter().map(if wide { wide_row } else { narrow_row }).collect();
        let mut parts = vec![columns(header, rows, width)];
        if !self.rejected.is_empty() {
            let rows = self.rejected.iter().map(rejected_row).collect();
            parts.push(columns(&LEFT_OUT, rows, width));
        }
        parts.join("\n\n")
    }
}

fn narrow_row(entry: &Entry) -> Vec<Value> {
    let who = &entry.row.who;
    vec![
        who.title().into(),
        format!("{} {}", who.protocol, who.family).into(),
        frontends(entry).into(),
        ready(entry).into(),
        entry.connections.into(),
    ]
}

fn wide_row(entry: &Entry) -> Vec<Value> {
    let who = &entry.row.who;
    let backends = entry.row.backends.iter().map(|backend| match backend.state {
        BackendWord::Ready => backend.address.to_string(),
        other => format!("{} ({})", backend.address, other.as_str()),
    });
    vec![
        who.title().into(),
        who.protocol.into(),
        who.family.into(),
        frontends(entry).into(),
        policies(entry).into(),
        ready(entry).into(),
        lines(backends).into(),
        entry.connections.into(),
        u64::from(entry.row.id).into(),
    ]
}

fn frontends(entry: &Entry) -> String {
    lines(entry.row.frontends.iter().map(|frontend| frontend.title()))
}

/// What is not as by default.
fn policies(entry: &Entry) -> String {
    let named = [("internal", entry.row.internal_traffic_policy), ("external", entry.row.external_traffic_policy)];
    let policies =
        named.into_iter().filter(|(_, policy)| *policy != "Cluster").map(|(kind, policy)| format!("{kind} {policy}"));
    let seconds = entry.row.affinity_seconds;
    let affinity = (seconds > 0).then(|| format!("affinity {}", duration(u64::from(seconds) * 1000)));
    let algorithm = Some(entry.row.algorithm).filter(|name| *name != Algorithm::default().as_str()).map(str::to_owned);
    lines(policies.chain(affinity).chain(algorithm).chain(sources(entry)))
}

/// Who may dial the load balancer's addresses, if not everybody may.
fn sources(entry: &Entry) -> Vec<String> {
    match entry.row.source_ranges.as_deref() {
        None => Vec::new(),
        Some([]) => vec!["from nowhere".to_owned()],
        Some(nets) => nets.iter().map(|net| format!("from {net}")).collect(),
    }
}

/// How many endpoints take new connections, of how many that serve.
fn ready(entry: &Entry) -> String {
    let count = |states: &[BackendWord]| entry.row.backends.iter().filter(|b| states.contains(&b.state)).count();
    format!("{}/{}", count(&[BackendWord::Ready]), count(&[BackendWord::Ready, BackendWord::Draining]))
}

fn rejected_row(rejection: &Rejection) -> Vec<Value> {
    let slash = if rejection.namespace.is_empty() { "" } else { "/" };
    let object = format!("{} {}{slash}{}", rejection.kind, rejection.namespace, rejection.name);
    vec![object.into(), rejection.reason.as_str().into(), rejection.message.as_str().into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(kind: &str, name: &str, service: Option<&str>, message: &str) -> Rejection {
        Rejection {
            kind: kind.into(),
            namespace: "default".into(),
            name: name.into(),
            service: service.map(str::to_owned),
            reason: "endpoint_address".into(),
            message: message.into(),
        }
    }

    #[test]
    fn every_rejection_is_listed() {
        let rejected = vec![
            rejection("EndpointSlice", "web-x7", None, "endpoint 127.0.0.1: a loopback address; it is left out (and 2 more)"),
            rejection("Service", "web", Some("web"), "port 0: write a number from 1 to 65535; the port is not served"),
        ];
        let printed = Rejected { rejected }.render(Some(80));
        let wanted = "\
LEFT OUT                      REASON            MESSAGE
EndpointSlice default/web-x7  endpoint_address  endpoint 127.0.0.1: a loopback
                                                address; it is left out (and 2
                                                more)
Service default/web           endpoint_address  port 0: write a number from 1 to
                                                65535; the port is not served";
        assert_eq!(printed, wanted, "{printed}");
        assert_eq!(Rejected { rejected: Vec::new() }.render(None), "Nothing was left out.");
    }
}

//! `sluice flows`: the per-packet flows, of one entry or of two, shown as one. Connections that sockets made have no flow: their
//! packets carry the backend's address from the start.

use super::filter::{ClientFilter, Filter, ServiceFilter};
use super::instance::{self, LookArgs};
use super::output::{Format, Value, columns, print, print_json, terminal_width};
use super::rows::{self, ServicePort};
use crate::maps::{MapError, Reader};
use anyhow::Context;
use clap::Args;
use nix::time::{ClockId, clock_gettime};
use proxy_common::abi::{Flow, FlowFlags, Proto, ServiceId, ServiceName, Tuple};
use serde::Serialize;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;

/// Flags of `sluice flows`.
#[derive(Args, Clone, Debug)]
pub struct FlowsArgs {
    /// Which instance, and how to print.
    #[command(flatten)]
    pub look: LookArgs,
    /// Those of one Service alone: namespace/name, or namespace/name:port
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<ServiceFilter>,
    /// Those of clients alone: an address, an address and port, or a prefix
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<ClientFilter>,
    /// At most so many, the latest first; 0 = all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}

/// One flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    /// Who dialled.
    pub client: SocketAddr,
    /// What was dialled.
    pub frontend: SocketAddr,
    /// Where packets go.
    pub backend: SocketAddr,
    /// The source that the backend sees, if it is not the client.
    pub source: Option<SocketAddr>,
    /// Whether address and port of the source are translated, and packets redirected.
    pub masquerade: bool,
    /// Whether the client is a process of this node.
    pub from_node: bool,
    /// How far it has come.
    pub state: State,
    /// Milliseconds since the last packet of either direction.
    pub idle_ms: u32,
    /// The service port that was dialled, if it is still there.
    pub service: Option<ServicePort>,
    /// The backend's id in the tables.
    pub backend_id: u32,
    /// Which user of that id it is.
    pub generation: u32,
    /// Index of the device that packets to the backend leave by; 0 if they go up the stack.
    pub device: u32,
}

/// How far a flow has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The backend has not answered.
    New,
    /// The backend has answered.
    Answered,
    /// The client has answered the backend.
    Established,
    /// One side has ended it.
    Closing,
    /// Both sides have ended it.
    Closed,
    /// One side has reset it.
    Reset,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

/// Everything the command shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// Flows, the latest first.
    pub flows: Vec<Entry>,
    /// How many more the filter lets through.
    pub left_out: usize,
}

/// Runs the command.
pub fn run(args: &FlowsArgs) -> anyhow::Result<()> {
    let reader = instance::tables(&args.look.bpffs)?;
    let entries = entries(&reader).context("can't read the flow tables")?;
    let names = reader.names().collect();
    let filter = Filter { service: args.service.clone(), client: args.client.clone() };
    let listing = Listing::new(&entries, &names, &filter, args.limit, clock()?);
    match args.look.output {
        Format::Json => print_json(&listing)?,
        format => print(&listing.render(format, terminal_width()))?,
    }
    Ok(())
}

fn entries(reader: &Reader) -> Result<Vec<(Tuple, Flow)>, MapError> {
    let mut entries = Vec::new();
    reader.flows(|_, tuples, flows| {
        entries.extend(tuples.iter().copied().zip(flows.iter().copied()));
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// The clock of the tables: milliseconds modulo 2^32.
fn clock() -> nix::Result<u32> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)?;
    Ok((now.tv_sec().wrapping_mul(1000) + now.tv_nsec() / 1_000_000) as u32)
}

impl Listing {
    /// At most `limit` flows (0 = all) of the tables' `entries` that `filter` lets through. `now` is the clock of the tables.
    pub fn new(
        entries: &[(Tuple, Flow)],
        names: &HashMap<ServiceId, ServiceName>,
        filter: &Filter,
        limit: usize,
        now: u32,
    ) -> Self {
        let is_forward = |flow: &Flow| flow.flags.has(FlowFlags::FORWARD);
        let replies: HashMap<Tuple, &Flow> =
            entries.iter().filter(|(_, flow)| !is_forward(flow)).map(|(key, flow)| (*key, flow)).collect();
        let mut flows: Vec<_> = entries
            .iter()
            .filter(|(_, flow)| is_forward(flow))
            .map(|(key, flow)| entry(key, flow, replies.get(&flow.to.reversed()).copied(), names, now))
            .filter(|entry| filter.lets_through(entry.service.as_ref(), entry.client))
            .collect();
        flows.sort_by_key(|entry| (entry.idle_ms, entry.client, entry.frontend));
        let left_out = if limit == 0 { 0 } else { flows.len().saturating_sub(limit) };
        flows.truncate(flows.len() - left_out);
        Self { flows, left_out }
    }

    /// As text; `width` is the terminal's.
    pub fn render(&self, format: Format, width: Option<u16>) -> String {
        if self.flows.is_empty() {
            return "No flow. (Connections that a socket hook translated have none.)".to_owned();
        }
        let wide = format == Format::Wide;
        let header: &[&str] = if wide {
            &["PROTO", "CLIENT", "FRONTEND", "BACKEND", "SOURCE", "STATE", "IDLE", "DEVICE", "SERVICE"]
        } else {
            &["PROTO", "CLIENT", "FRONTEND → BACKEND", "STATE", "IDLE"]
        };
        let rows = self.flows.iter().map(if wide { wide_row } else { narrow_row }).collect();
        let table = columns(header, rows, width.filter(|_| !wide));
        match self.left_out {
            0 => table,
            more => format!("{table}\n{more} more; `--limit 0` shows all of them."),
        }
    }
}

fn entry(key: &Tuple, flow: &Flow, reply: Option<&Flow>, names: &HashMap<ServiceId, ServiceName>, now: u32) -> Entry {
    let source = (flow.to.src, flow.to.sport) != (key.src, key.sport);
    let idle = |seen: u32| now.wrapping_sub(seen);
    Entry {
        protocol: rows::protocol(key.proto),
        client: rows::socket(key.src, key.sport),
        frontend: rows::socket(key.dst, key.dport),
        backend: rows::socket(flow.to.dst, flow.to.dport),
        source: source.then(|| rows::socket(flow.to.src, flow.to.sport)),
        masquerade: flow.flags.has(FlowFlags::MASQUERADE),
        from_node: flow.flags.has(FlowFlags::FROM_NODE),
        state: state(key.proto, flow.flags, reply.map_or(FlowFlags::default(), |reply| reply.flags)),
        idle_ms: reply.map_or(idle(flow.seen), |reply| idle(flow.seen).min(idle(reply.seen))),
        service: names.get(&flow.service).map(ServicePort::new),
        backend_id: flow.backend.0,
        generation: flow.generation.0,
        device: flow.hop.device,
    }
}

fn state(proto: Proto, forward: FlowFlags, reply: FlowFlags) -> State {
    let (both, fin) = (forward.with(reply), FlowFlags::FIN);
    if both.has(FlowFlags::RST) {
        State::Reset
    } else if forward.has(fin) && reply.has(fin) {
        State::Closed
    } else if both.has(fin) {
        State::Closing
    } else if proto == Proto::TCP && both.has(FlowFlags::ESTABLISHED) {
        State::Established
    } else if reply.has(FlowFlags::ANSWERED) {
        State::Answered
    } else {
        State::New
    }
}

fn narrow_row(entry: &Entry) -> Vec<Value> {
    let masquerade = if entry.masquerade { "\nmasqueraded" } else { "" };
    vec![
        entry.protocol.into(),
        format!("{}\n{}", entry.client, service(entry)).into(),
        format!("{}\n→ {}", entry.frontend, entry.backend).into(),
        format!("{}{masquerade}", entry.state.as_str()).into(),
        age(entry.idle_ms).into(),
    ]
}

fn wide_row(entry: &Entry) -> Vec<Value> {
    vec![
        entry.protocol.into(),
        entry.client.to_string().into(),
        entry.frontend.to_string().into(),
        entry.backend.to_string().into(),
        entry.source.map_or_else(|| "client".to_owned(), |source| source.to_string()).into(),
        entry.state.as_str().into(),
        age(entry.idle_ms).into(),
        if entry.device == 0 { "stack".to_owned() } else { entry.device.to_string() }.into(),
        service(entry).into(),
    ]
}

fn service(entry: &Entry) -> String {
    entry.service.as_ref().map_or_else(|| "(gone)".to_owned(), ServicePort::title)
}

fn age(milliseconds: u32) -> String {
    super::output::duration(u64::from(milliseconds))
}

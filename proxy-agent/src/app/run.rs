//! Start and loop of the agent.

use super::error::AppError;
use super::program::Program;
use super::publish::{self, Reports};
use super::round;
use super::tasks::{self, Tasks};
use crate::attach::follow::{FollowError, Node, NodeObject};
use crate::attach::netlink::Observation;
use crate::config::{ClusterCidrs, Config, Loaded, SourceConfig};
use crate::control::Control;
use crate::fault::Fault;
use crate::lifecycle::{self, Instance};
use crate::maps::{GracePeriods, GraceToken, KernelFlows, KernelMaps, MapError, Reader};
use crate::serve::health::{Health, NodeState};
use crate::serve::http::{self, Addresses, Listening, ServeError, Wanted};
use crate::serve::metrics::Metrics;
use crate::serve::node_port::HealthServers;
use crate::state::NodeFacts;
use crate::sync::{Sweeper, Swept, Sync};
use crate::watch::objects::Kind;
use crate::watch::{Batch, Notice, Subject};
use ipnet::IpNet;
use jiff::Timestamp;
use proxy_common::abi::{Family, SERVICE_CIDRS};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How soon after a change the report is written.
const SOON: Duration = Duration::from_millis(200);
/// How often it is written when nothing changes, and how soon something that failed is tried again.
const EVENTUALLY: Duration = Duration::from_secs(10);

/// A running agent.
pub struct App {
    program: Program<KernelMaps>,
    node: Node,
    reports: Reports,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    servers: HealthServers,
    /// Where they listen.
    health_addresses: Vec<IpAddr>,
    notices: Option<mpsc::Sender<Notice>>,
    inputs: Inputs,
    tasks: Tasks,
    stop: CancellationToken,
    events: mpsc::Receiver<Batch>,
    observations: mpsc::Receiver<Observation>,
    graces: mpsc::UnboundedReceiver<GraceToken>,
    dirty: bool,
    retries: Retries,
    signals: [Signal; 2],
    _sweeper: Sweeper,
}

/// What the report needs beyond what others hold.
pub struct Inputs {
    /// When the agent started.
    pub started: Timestamp,
    /// The node's name.
    pub node: String,
    /// The cgroup whose processes are served.
    pub cgroup: String,
    /// Where objects come from.
    pub origin: String,
    /// Whether a Node object is expected there.
    pub needs_node: bool,
    /// Since when the source is connected, or not.
    pub connected_since: Timestamp,
    /// Whether it was connected when last looked at.
    pub connected: bool,
    /// When everything was listed in full.
    pub synced: Option<Timestamp>,
    /// When an object last arrived.
    pub last_event: Option<Timestamp>,
    /// How long the oldest change waits.
    pub lag: Duration,
    /// Where health and metrics shall be.
    pub wanted: Addresses,
    /// Where they are.
    pub listening: Listening,
    /// The prefixes that programs shall hold against unknown destinations, as ServiceCIDR objects say.
    pub service_cidrs: Vec<IpNet>,
    /// Those of the configuration, which count if there are none.
    pub configured_cidrs: Vec<IpNet>,
    /// Why the node is not followed, if so.
    pub node_error: Option<String>,
    /// Whether flows of TCP and of UDP found no room in their tables, as the last sweep saw it.
    pub spilled: watch::Receiver<[bool; 2]>,
}

impl App {
    /// Starts everything. Programs are attached when this returns; Services are in force soon after.
    pub async fn start(loaded: Loaded, object: &[u8], fault: Fault) -> Result<Self, AppError> {
        let Loaded { config, effective, .. } = loaded;
        // First of all: a start takes seconds, and the kernel keeps signals from a process 1 that has no handlers.
        let signals = signals()?;
        let stop = CancellationToken::new();
        let Instance { maps, node, network, publisher } = lifecycle::start(&config, object, &fault).await?;
        let (sync, adopted) = Sync::adopt(maps)?;
        if adopted.services > 0 {
            tracing::info!(services = adopted.services, backends = adopted.backends, "adopted what was in force");
        }
        let (ended, graces) = mpsc::unbounded_channel();
        let grace = GracePeriods::start(move |token| {
            // Nobody listens once the agent ends.
            let _ = ended.send(token);
        })?;
        let fresh = adopted.services == 0;
        let needs_node = !matches!(config.source, SourceConfig::Manifests(_));
        let unseen = if fresh && needs_node { NodeState::Missing } else { NodeState::Unwatched };
        let health = Arc::new(Health::new(config.health_timeout, unseen));
        if fresh {
            health.starting();
        }
        let metrics = Arc::new(Metrics::new(Arc::new(Reader::open(&config.bpffs)?))?);
        let (sweeper, spilled) = sweep(&config, metrics.clone())?;
        let configz = effective.json().into();
        let facts = http::Facts { health: health.clone(), metrics: metrics.clone(), configz };
        let (listening, later) = listen(&config, &facts, &stop).await?;
        let mut tasks = Tasks::new(stop.clone());
        let observations = tasks.observe(network);
        let events = tasks.follow(&config);
        let notices = tasks.notify(&config);
        let starting = later.iter().map(ServeError::notice).chain([tasks::starting()]);
        starting.for_each(|notice| say(notices.as_ref(), notice));
        let servers = HealthServers::new(config.node_name.clone(), health.clone());
        let health_addresses = node.health_addresses();
        let mut control = Control::new(&config.node_name).with_algorithm(config.algorithm);
        control.set_device_addresses(node.addresses());
        let program = Program::new(control, sync, move |token| grace.begin(token), health.clone(), metrics.clone(), fault);
        let inputs = Inputs::new(&config, node.cgroup(), listening, spilled);
        Ok(Self {
            program,
            node,
            reports: Reports::new(publisher),
            health,
            metrics,
            servers,
            health_addresses,
            notices,
            inputs,
            tasks,
            stop,
            events,
            observations,
            graces,
            dirty: true,
            retries: Retries { last: Instant::now() },
            signals,
            _sweeper: sweeper,
        })
    }

    /// Where health and metrics are served.
    pub fn bound(&self) -> Addresses {
        self.inputs.listening.addresses()
    }

    /// Runs until SIGTERM or SIGINT, or until a task ends. Everything stays pinned.
    pub async fn run(mut self) -> Result<(), AppError> {
        let mut published = Instant::now();
        loop {
            let [terminate, interrupt] = &mut self.signals;
            let due = published + if self.dirty { SOON } else { EVENTUALLY };
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(batch) = self.events.recv() => self.on_batch(batch),
                Some(observation) = self.observations.recv() => self.on_observation(observation),
                Some(token) = self.graces.recv() => self.on_grace_ended(token),
                Ok(()) = self.inputs.spilled.changed() => self.dirty = true,
                error = self.tasks.ended() => return Err(error),
                () = tokio::time::sleep_until(due.into()) => {
                    self.tend();
                    published = Instant::now();
                }
            }
        }
        self.reports.finish().await;
        if self.dirty {
            self.tend();
            self.reports.finish().await;
        }
        tracing::info!("ending; programs and tables stay and go on working");
        self.stop.cancel();
        Ok(())
    }

    fn on_batch(&mut self, batch: Batch) {
        let batches = round::gather(batch, &mut self.events);
        self.inputs.last_event = Some(Timestamp::now());
        self.program.on_events(batches);
        if self.program.is_settled() && self.inputs.synced.is_none() {
            self.inputs.synced = Some(Timestamp::now());
            self.health.serving();
        }
        if let Some(facts) = self.program.control.take_node() {
            let result = self.node.set_object(node_object(&facts));
            self.note(result);
            self.health_addresses = self.node.health_addresses();
        } else if self.node.goes_by_what_was_left() && self.program.control.listed(Kind::Node) {
            let result = self.node.set_object(NodeObject::default());
            self.note(result);
            self.health_addresses = self.node.health_addresses();
        }
        if let Some(objects) = self.program.control.take_service_cidrs() {
            self.put_service_cidrs(objects);
        }
        if let Some(state) = self.node_state() {
            self.health.node(state);
        }
        self.answer_health_checks();
        self.dirty = true;
    }

    /// Puts in force what ServiceCIDR objects say, or the configuration if there are none (S26).
    fn put_service_cidrs(&mut self, objects: Vec<IpNet>) {
        self.node.set_service_cidrs(&objects);
        if objects.len() > SERVICE_CIDRS {
            tracing::warn!("{}", publish::too_many_cidrs(objects.len()));
        }
        tracing::info!(objects = ?objects, "ServiceCIDRs");
        self.inputs.service_cidrs = objects;
    }

    /// What is known of the Node object; nothing before it could be known (S51, S54).
    fn node_state(&self) -> Option<NodeState> {
        let (control, node) = (&self.program.control, self.program.control.node());
        match (node.exists, node.eligible) {
            (true, true) => Some(NodeState::Present),
            (true, false) => Some(NodeState::Leaving),
            (false, false) => Some(NodeState::Missing),
            (false, true) => (self.inputs.needs_node && control.listed(Kind::Node)).then_some(NodeState::Missing),
        }
    }

    /// Answers what load balancers ask of Services as things are now, and tells the cluster where that is not possible.
    fn answer_health_checks(&mut self) {
        let mut said = self.servers.set_addresses(&self.health_addresses);
        said.extend(self.servers.set(&self.program.control.take_health_checks()));
        self.tell(said);
    }

    fn tell(&self, notices: Vec<Notice>) {
        for notice in notices {
            tracing::error!(about = %notice.about, reason = notice.reason, "{}", notice.message);
            say(self.notices.as_ref(), notice);
        }
    }

    fn on_observation(&mut self, mut observation: Observation) {
        while let Ok(later) = self.observations.try_recv() {
            observation = later;
        }
        let result = self.node.observe(observation);
        self.note(result);
        self.program.on_device_addresses(self.node.addresses());
        self.health_addresses = self.node.health_addresses();
        self.answer_health_checks();
        self.dirty = true;
    }

    fn on_grace_ended(&mut self, token: GraceToken) {
        self.program.on_grace_ended(token);
        // What waited for room may have found it.
        self.dirty = true;
    }

    fn note(&mut self, result: Result<(), FollowError>) {
        let error = result.err().map(|error| error.to_string());
        if let Some(error) = error.as_ref().filter(|error| self.inputs.node_error.as_ref() != Some(error)) {
            tracing::error!("{error}");
        }
        self.inputs.node_error = error;
    }

    fn retry(&mut self) {
        if self.node.is_stale() {
            let result = self.node.retry();
            self.note(result);
        }
        if self.program.sync.has_failures() {
            self.program.retry();
        }
        let said = self.servers.retry();
        self.tell(said);
    }

    /// Tries again what failed, and tells others how things are.
    fn tend(&mut self) {
        if self.retries.due(Instant::now()) {
            self.retry();
        }
        if self.reports.is_free() {
            self.tell_all();
        }
    }

    fn tell_all(&mut self) {
        let now = Timestamp::now();
        let control = &self.program.control;
        let connected = !control.troubles().keys().any(Subject::is_connection);
        if connected != self.inputs.connected {
            self.inputs.connected = connected;
            self.inputs.connected_since = now;
        }
        self.inputs.lag = self.health.lag(Instant::now());
        let rejections = control.rejections();
        let rejected = publish::rejected(&rejections, &self.program.sync);
        self.metrics.observe_services(control.service_ports() as u64, &rejected);
        let mut report = publish::report(control, rejections, &self.program.sync, self.node.devices(), &self.inputs, now);
        report.warnings.extend(self.servers.failures().map(publish::health_check_failed));
        self.metrics.observe_source(control.synced(), connected);
        for family in [Family::V4, Family::V6] {
            self.metrics.observe_without_local(family, control.without_local(family));
        }
        let mut conditions: Vec<&str> = report.warnings.iter().map(|warning| warning.condition.as_str()).collect();
        conditions.extend(control.troubles().keys().map(|subject| subject.condition()));
        self.metrics.observe_degraded(&conditions);
        self.reports.publish(report);
        self.dirty = false;
    }
}

/// Opens the listeners, and says which are tried again. An error is told to the cluster too, for which the agent waits some seconds.
async fn listen(
    config: &Config,
    facts: &http::Facts,
    stop: &CancellationToken,
) -> Result<(Listening, Vec<ServeError>), AppError> {
    let addresses = Addresses { healthz: config.healthz, metrics: config.metrics };
    match http::start(Wanted { addresses, hard_fail: config.bind_hard_fail }, facts, stop) {
        Ok(started) => Ok(started),
        Err(error) => {
            tasks::last_words(config, error.notice()).await;
            Err(error.into())
        }
    }
}

/// Tells the cluster, if there is one.
fn say(notices: Option<&mpsc::Sender<Notice>>, notice: Notice) {
    if notices.is_some_and(|notices| matches!(notices.try_send(notice), Err(mpsc::error::TrySendError::Full(_)))) {
        tracing::warn!("too many Events wait to be sent: one is left out");
    }
}

/// When what failed is tried again: at one pace, however busy the node is.
struct Retries {
    last: Instant,
}

impl Retries {
    fn due(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.last) >= EVENTUALLY;
        if due {
            self.last = now;
        }
        due
    }
}

fn signals() -> Result<[Signal; 2], AppError> {
    let listen = |kind| signal(kind).map_err(AppError::Signals);
    Ok([listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?])
}

impl Inputs {
    fn new(config: &Config, cgroup: &Path, listening: Listening, spilled: watch::Receiver<[bool; 2]>) -> Self {
        let now = Timestamp::now();
        Self {
            started: now,
            node: config.node_name.clone(),
            cgroup: cgroup.display().to_string(),
            origin: tasks::origin(&config.source),
            needs_node: !matches!(config.source, SourceConfig::Manifests(_)),
            connected_since: now,
            connected: false,
            synced: None,
            last_event: None,
            lag: Duration::ZERO,
            wanted: Addresses { healthz: config.healthz, metrics: config.metrics },
            listening,
            service_cidrs: Vec::new(),
            configured_cidrs: config.service_cidrs.clone(),
            node_error: None,
            spilled,
        }
    }
}

/// What programs must know of the Node object: of its pods' prefixes the first of each family, as kube-proxy has it.
fn node_object(facts: &NodeFacts) -> NodeObject {
    let v4 = facts.pod_cidrs.iter().find_map(|cidr| if let IpNet::V4(net) = cidr { Some(*net) } else { None });
    let v6 = facts.pod_cidrs.iter().find_map(|cidr| if let IpNet::V6(net) = cidr { Some(*net) } else { None });
    NodeObject { addresses: facts.primary(), pod_cidrs: ClusterCidrs { v4, v6 } }
}

/// Starts to sweep the flow tables, and tells as it goes whose flows find no room.
fn sweep(config: &Config, metrics: Arc<Metrics>) -> Result<(Sweeper, watch::Receiver<[bool; 2]>), AppError> {
    let (spills, spilled) = watch::channel([false; 2]);
    let report = move |swept: Result<Swept, MapError>| match swept {
        Ok(swept) => {
            let expired = swept.tables().filter(|(_, _, expired)| *expired > 0);
            expired.for_each(|(table, _, expired)| metrics.observe_expired(table.as_str(), u64::from(expired)));
            spills.send_if_modified(|spilled| std::mem::replace(spilled, swept.spilled) != swept.spilled);
        }
        Err(error) => tracing::warn!("{error}"),
    };
    let sweeper = Sweeper::start(KernelFlows::open(&config.bpffs)?, config.flow_timeouts, report).map_err(AppError::Thread)?;
    Ok((sweeper, spilled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_node_is_no_reason_to_wait() {
        let start = Instant::now();
        let mut retries = Retries { last: start };
        let looks = (1..=300).map(|tick| start + SOON * tick);
        assert_eq!(looks.filter(|now| retries.due(*now)).count(), 6, "in a minute of a look each 200 ms");
    }
}

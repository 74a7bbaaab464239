//! From events to tables: what a batch changes is compiled, written, logged and measured. Time is an argument.

use crate::control::Control;
use crate::fault::Fault;
use crate::maps::{GraceToken, Maps};
use crate::memory;
use crate::serve::health::Health;
use crate::serve::metrics::{self, Metrics};
use crate::sync::{Applied, ChangeKind, ServiceChange, Sync};
use crate::table::Change;
use crate::watch::Batch;
use jiff::Timestamp;
use proxy_common::abi::Family;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The stretch from events to tables.
pub struct Program<M> {
    /// What is known of the cluster.
    pub control: Control,
    /// The tables.
    pub sync: Sync<M>,
    grace: Box<dyn Fn(GraceToken) + Send>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    fault: Fault,
    /// When the batches came whose changes are not in the tables.
    waiting: Vec<Instant>,
    settled: bool,
    /// Whether services that nobody wants any more have been taken out.
    cleared: bool,
    started: Timestamp,
}

impl<M: Maps> Program<M> {
    /// Nothing known yet of the cluster; the tables say what they said before. `grace` begins a grace period.
    pub fn new(
        control: Control,
        sync: Sync<M>,
        grace: impl Fn(GraceToken) + Send + 'static,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
        fault: Fault,
    ) -> Self {
        let grace = Box::new(grace);
        Self {
            control,
            sync,
            grace,
            health,
            metrics,
            fault,
            waiting: Vec::new(),
            settled: false,
            cleared: false,
            started: Timestamp::now(),
        }
    }

    /// Whether the first full list is in force.
    pub const fn is_settled(&self) -> bool {
        self.settled
    }

    /// Takes in events and puts in force what they change.
    pub fn on_events(&mut self, batches: Vec<Batch>) {
        let before = self.control.pending();
        let last = batches.last().map(|batch| batch.came);
        for Batch { came, events } in batches {
            let known = self.control.counts().changes;
            events.into_iter().for_each(|event| self.control.on_event(event, came));
            if self.control.counts().changes > known {
                self.waiting.push(came);
            }
        }
        let pending = self.control.pending();
        let (services, slices) = (pending.services - before.services, pending.slices - before.slices);
        if services + slices > 0 {
            self.metrics.observe_queued(services, slices, Timestamp::now());
        }
        if !self.control.synced() {
            // What waits for the first full list waits for the source.
            self.waiting.clear();
            return;
        }
        if self.waiting.is_empty() && self.control.is_dirty() {
            // What came before the last list counts from when that was complete.
            self.waiting.extend(last);
        }
        if let Some(since) = self.waiting.first() {
            self.health.queued(*since);
        }
        self.write();
    }

    /// The addresses of this node's devices are these.
    pub fn on_device_addresses(&mut self, addresses: Vec<IpAddr>) {
        self.control.set_device_addresses(addresses);
        if self.control.synced() && self.control.is_dirty() {
            self.write();
        }
    }

    /// A grace period has ended: what waited for room is tried again.
    pub fn on_grace_ended(&mut self, token: GraceToken) {
        let applied = self.sync.grace_ended(token);
        self.finish(&applied);
    }

    /// Tries again what did not fit.
    pub fn retry(&mut self) {
        let applied = self.sync.retry();
        self.finish(&applied);
    }

    fn write(&mut self) {
        let changes = self.control.take_changes();
        let began = Instant::now();
        if !self.settled {
            self.fault.reach("first-list");
        }
        let clears = !self.cleared && self.control.complete();
        self.cleared |= clears;
        let applied = if clears && !self.sync.holds_nothing() {
            self.sync.settle(self.control.table().map(Change::Set).collect())
        } else {
            self.sync.apply(changes)
        };
        self.measure(&applied, began);
        self.finish(&applied);
        if !self.settled {
            self.settled = true;
            tracing::info!(services = applied.changes.len(), took = ?began.elapsed(), "the first full list is in force");
            self.fault.reach("first-flip");
            memory::give_back();
        }
    }

    fn measure(&mut self, applied: &Applied, began: Instant) {
        let duration = began.elapsed();
        let waited: Vec<Duration> = self.waiting.drain(..).map(|since| since.elapsed()).collect();
        let triggered = self.since_triggers(Timestamp::now());
        let families: Vec<_> = [Family::V4, Family::V6]
            .into_iter()
            .map(|family| (family, applied.changes.iter().filter(|change| change.name.family() == family).count()))
            .filter(|(_, changes)| *changes > 0)
            .map(|(family, changes)| metrics::Applied {
                family,
                duration: duration.max(Duration::from_nanos(1)),
                flips: changes as u64,
                since_arrival: &waited,
                since_trigger: &triggered[family as usize],
            })
            .collect();
        self.health.applied(Timestamp::now());
        self.metrics.observe_applied(&families, Timestamp::now());
    }

    /// By family, how long ago the causes of changed slices happened; those before our start say nothing of us.
    fn since_triggers(&mut self, now: Timestamp) -> [Vec<Duration>; 2] {
        let mut since = [Vec::new(), Vec::new()];
        for (family, time) in self.control.take_triggers() {
            if time > self.started {
                since[family as usize].push(now.duration_since(time).try_into().unwrap_or_default());
            }
        }
        since
    }

    /// Begins a grace period if one is due, and says what happened.
    fn finish(&mut self, applied: &Applied) {
        if let Some(token) = self.sync.retired_pending() {
            (self.grace)(token);
        }
        applied.changes.iter().for_each(log);
        for rejection in &applied.rejected {
            tracing::error!(service = ?rejection.name, "{}", rejection.error);
        }
    }
}

fn log(change: &ServiceChange) {
    let word = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Updated => "updated",
        ChangeKind::Removed => "removed",
    };
    tracing::info!(
        service = ?change.name,
        frontends = %Delta(change.frontends_added, change.frontends_removed),
        backends = %Delta(change.backends_added, change.backends_removed),
        chosen = change.chosen,
        "{word}"
    );
}

/// `+2 -1`.
struct Delta(usize, usize);

impl std::fmt::Display for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{} -{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maps::{Capacity, MemoryMaps};
    use crate::serve::health::NodeState;
    use crate::serve::metrics::{MapReading, ReadMaps};
    use crate::watch::Event;
    use crate::watch::files::parse;
    use crate::watch::objects::{Kind, ObjectName};

    const HEALTH_TIMEOUT: Duration = Duration::from_secs(60);

    struct NoMaps;

    impl ReadMaps for NoMaps {
        fn read(&self) -> MapReading {
            MapReading::default()
        }
    }

    fn program(health: &Arc<Health>) -> Program<MemoryMaps> {
        let (sync, _) = Sync::adopt(MemoryMaps::new(Capacity::for_memory(0))).unwrap();
        let metrics = Arc::new(Metrics::new(Arc::new(NoMaps)).unwrap());
        Program::new(Control::new("node-1"), sync, drop, health.clone(), metrics, Fault::default())
    }

    fn batch(came: Instant, events: Vec<Event>) -> Vec<Batch> {
        vec![Batch { came, events }]
    }

    fn applied(text: &str) -> Vec<Event> {
        parse::yaml(text).unwrap().into_iter().map(|defined| Event::Apply(Box::new(defined.object))).collect()
    }

    fn listed() -> [Event; 2] {
        [Event::Synced(Kind::Service), Event::Synced(Kind::EndpointSlice)]
    }

    const SERVICE: &str =
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n";

    fn slice(name: &str, address: &str, trigger: &str) -> String {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  labels: {{kubernetes.io/\
             service-name: a}}\n  annotations: {{endpoints.kubernetes.io/last-change-trigger-time: '{trigger}'}}\n\
             addressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{{addresses: [{address}]}}]\n"
        )
    }

    fn count(program: &Program<MemoryMaps>, metric: &str) -> f64 {
        let text = program.metrics.encode().unwrap();
        text.lines().find_map(|line| line.strip_prefix(metric)).map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Time from the cause is told of causes after the agent's start alone, and of nothing that is deleted (§7).
    #[test]
    fn network_programming_is_told_of_what_happened_after_the_start() {
        const COUNT: &str = "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}";
        let health = Arc::new(Health::new(HEALTH_TIMEOUT, NodeState::Unwatched));
        let (mut program, now) = (program(&health), Instant::now());
        let before = slice("old", "10.0.0.1", "2020-01-01T00:00:00Z");
        program.on_events(batch(now, [applied(SERVICE), applied(&before), listed().into()].concat()));
        assert_eq!(count(&program, COUNT), 0.0, "it happened before the start");
        let later = slice("new", "10.0.0.2", &(program.started + Duration::from_millis(1)).to_string());
        program.on_events(batch(now, applied(&later)));
        assert_eq!(count(&program, COUNT), 1.0);
        program.on_events(batch(now, applied(&later)));
        assert_eq!(count(&program, COUNT), 1.0, "nothing changed");
        let name = ObjectName::new("default", "new");
        program.on_events(batch(now, vec![Event::Delete(Kind::EndpointSlice, name)]));
        assert_eq!(count(&program, COUNT), 1.0, "deleted");
    }

    /// Each batch counts from when it came, not from when the loop had time for it.
    #[test]
    fn every_batch_counts_from_when_it_came() {
        const COUNT: &str = "sluice_programming_duration_seconds_count{ip_family=\"IPv4\"}";
        const SUM: &str = "sluice_programming_duration_seconds_sum{ip_family=\"IPv4\"}";
        let health = Arc::new(Health::new(HEALTH_TIMEOUT, NodeState::Unwatched));
        let (mut program, now) = (program(&health), Instant::now());
        program.on_events(batch(now, applied(&slice("z", "10.0.0.9", "2020-01-01T00:00:00Z"))));
        program.on_events(batch(now, listed().into()));
        assert_eq!(count(&program, COUNT), 0.0, "nobody has a Service yet");
        let came = now.checked_sub(Duration::from_secs(2)).unwrap();
        let slice = applied(&slice("a", "10.0.0.1", "2020-01-01T00:00:00Z"));
        program.on_events([batch(came, applied(SERVICE)), batch(came, slice)].concat());
        assert_eq!(count(&program, COUNT), 2.0);
        assert!((4.0..5.0).contains(&count(&program, SUM)), "{}", count(&program, SUM));
    }

    #[test]
    fn the_first_list_counts_from_when_it_was_complete() {
        const COUNT: &str = "sluice_programming_duration_seconds_count{ip_family=\"IPv4\"}";
        const SUM: &str = "sluice_programming_duration_seconds_sum{ip_family=\"IPv4\"}";
        let health = Arc::new(Health::new(HEALTH_TIMEOUT, NodeState::Unwatched));
        let (mut program, now) = (program(&health), Instant::now());
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        program.on_events(batch(ago(9), applied(SERVICE)));
        program.on_events(batch(ago(2), listed().into()));
        assert_eq!(count(&program, COUNT), 1.0);
        assert!((2.0..3.0).contains(&count(&program, SUM)), "{}", count(&program, SUM));
    }

    #[test]
    fn what_waits_for_the_first_list_is_no_reason_to_restart() {
        let health = Arc::new(Health::new(HEALTH_TIMEOUT, NodeState::Unwatched));
        let (mut program, start) = (program(&health), Instant::now());
        program.on_events(batch(start, [applied(SERVICE), vec![Event::Synced(Kind::Service)]].concat()));
        let later = start + 2 * HEALTH_TIMEOUT;
        assert!(health.live(later, Timestamp::now()).0, "EndpointSlices are not listed yet");
        program.on_events(batch(later, vec![Event::Synced(Kind::EndpointSlice)]));
        assert!(program.is_settled() && health.live(later + HEALTH_TIMEOUT, Timestamp::now()).0);
    }
}

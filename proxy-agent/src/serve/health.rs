//! When the proxy counts as healthy (S51, S52), in the JSON that kube-proxy 1.36 answers. Time is an argument.

use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is known of the Node object of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeState {
    /// The source of objects has no Node for this node and need not have one (manifests).
    Unwatched,
    /// The API server has no Node of this name.
    Missing,
    /// It is there, and stays.
    Present,
    /// It has a deletionTimestamp or the taint `ToBeDeletedByClusterAutoscaler`.
    Leaving,
}

impl NodeState {
    /// Whether load balancers should send traffic to the node (S51).
    pub const fn is_eligible(self) -> bool {
        matches!(self, Self::Unwatched | Self::Present)
    }
}

/// The answer of `/healthz` and, without `nodeEligible`, of `/livez`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// When the tables last took a change; the time of the answer if healthy, as kube-proxy does it.
    pub last_updated: Timestamp,
    /// The time of the answer.
    pub current_time: Timestamp,
    /// Whether the node is eligible; absent in `/livez`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_eligible: Option<bool>,
    /// Whether no change has waited for too long.
    pub healthy: bool,
    /// The same by family. One queue serves both families, so both say the same.
    pub status: BTreeMap<&'static str, FamilyStatus>,
}

/// Health of one address family.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FamilyStatus {
    /// When the tables last took a change.
    pub last_updated: Timestamp,
    /// Whether no change has waited for too long.
    pub healthy: bool,
}

/// Tracks queued and applied changes. Shared between the agent's loop and the listeners.
#[derive(Debug)]
pub struct Health {
    timeout: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    pending_since: Option<Instant>,
    last_applied: Option<Timestamp>,
    node: NodeState,
    serving: bool,
}

impl Health {
    /// Healthy, with nothing queued. A queued change may wait for less than `timeout`.
    pub const fn new(timeout: Duration, node: NodeState) -> Self {
        Self { timeout, state: Mutex::new(State { pending_since: None, last_applied: None, node, serving: true }) }
    }

    /// Tables were empty at the start: until [`Self::serving`] the proxy lives, and load balancers should send nothing.
    pub fn starting(&self) {
        self.change(|state| state.serving = false);
    }

    /// The first full list is in force.
    pub fn serving(&self) {
        self.change(|state| state.serving = true);
    }

    /// A change arrived and is not yet in the tables.
    pub fn queued(&self, now: Instant) {
        self.change(|state| {
            state.pending_since.get_or_insert(now);
        });
    }

    /// Everything queued so far is in the tables, or needed nothing there.
    pub fn applied(&self, now: Timestamp) {
        self.change(|state| {
            state.pending_since = None;
            state.last_applied = Some(now);
        });
    }

    /// The Node object came, changed or went.
    pub fn node(&self, node: NodeState) {
        self.change(|state| state.node = node);
    }

    /// How long the oldest queued change has waited; zero with none.
    pub fn lag(&self, now: Instant) -> Duration {
        self.read().pending_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// What `/livez` answers, and whether with 200.
    pub fn live(&self, clock: Instant, now: Timestamp) -> (bool, Answer) {
        let state = self.read();
        let healthy = state.pending_since.is_none_or(|since| clock.saturating_duration_since(since) < self.timeout);
        (healthy, answer(state.last_applied, healthy, now))
    }

    /// What `/healthz` answers, and whether with 200.
    pub fn healthy(&self, clock: Instant, now: Timestamp) -> (bool, Answer) {
        let State { node, serving, .. } = self.read();
        let eligible = node.is_eligible();
        let (live, mut answer) = self.live(clock, now);
        let live = live && serving;
        answer.healthy = live;
        answer.node_eligible = Some(eligible);
        if live && !eligible {
            answer.last_updated = last_updated(&answer);
        }
        (live && eligible, answer)
    }

    fn read(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn answer(last_applied: Option<Timestamp>, healthy: bool, now: Timestamp) -> Answer {
    let last = last_applied.unwrap_or(Timestamp::UNIX_EPOCH);
    let status = match last_applied {
        None => BTreeMap::new(),
        Some(last_updated) => ["IPv4", "IPv6"].map(|family| (family, FamilyStatus { last_updated, healthy })).into(),
    };
    Answer { last_updated: if healthy { now } else { last }, current_time: now, node_eligible: None, healthy, status }
}

fn last_updated(answer: &Answer) -> Timestamp {
    answer.status.values().next().map_or(Timestamp::UNIX_EPOCH, |status| status.last_updated)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn s52_a_change_that_waits_too_long_is_unhealthy() {
        let (health, start) = (Health::new(TIMEOUT, NodeState::Present), Instant::now());
        assert!(health.live(start, at(100)).0, "healthy while it starts");
        health.queued(start);
        health.queued(start + Duration::from_secs(50));
        assert!(health.live(start + Duration::from_secs(59), at(159)).0);
        assert!(!health.live(start + Duration::from_secs(60), at(160)).0, "the oldest counts");
        assert_eq!(health.lag(start + Duration::from_secs(60)), Duration::from_secs(60));
        health.applied(at(161));
        assert!(health.live(start + Duration::from_secs(200), at(300)).0);
    }

    #[test]
    fn s51_a_node_that_leaves_is_alive_but_not_healthy() {
        let (health, start) = (Health::new(TIMEOUT, NodeState::Unwatched), Instant::now());
        assert!(health.healthy(start, at(1)).0, "manifests need no Node");
        for (state, expected) in [(NodeState::Missing, false), (NodeState::Present, true), (NodeState::Leaving, false)] {
            health.node(state);
            assert_eq!(health.healthy(start, at(1)).0, expected, "{state:?}");
            assert!(health.live(start, at(1)).0);
        }
    }

    #[test]
    fn load_balancers_wait_for_the_first_list() {
        let (health, start) = (Health::new(TIMEOUT, NodeState::Present), Instant::now());
        health.starting();
        assert!(!health.healthy(start, at(1)).0 && health.live(start, at(1)).0);
        health.serving();
        assert!(health.healthy(start, at(1)).0);
    }

    #[test]
    fn the_json_is_kube_proxys() {
        let (health, start) = (Health::new(TIMEOUT, NodeState::Leaving), Instant::now());
        health.applied(at(10));
        let (_, answer) = health.healthy(start, at(20));
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            concat!(
                r#"{"lastUpdated":"1970-01-01T00:00:10Z","currentTime":"1970-01-01T00:00:20Z","nodeEligible":false,"#,
                r#""healthy":true,"status":{"IPv4":{"lastUpdated":"1970-01-01T00:00:10Z","healthy":true},"#,
                r#""IPv6":{"lastUpdated":"1970-01-01T00:00:10Z","healthy":true}}}"#
            )
        );
        let (_, answer) = health.live(start, at(20));
        assert!(serde_json::to_string(&answer).unwrap().starts_with(r#"{"lastUpdated":"1970-01-01T00:00:20Z","currentTime""#));
    }
}

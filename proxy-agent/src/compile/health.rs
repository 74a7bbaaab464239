//! Which Service has a healthCheckNodePort, and what load balancers are told of it (S49, S50).
//!
//! Invariant: as in the table, a port is one Service's, the oldest's that claims it, whatever the order in which they came (S9).

use crate::state::{HealthCheck, RejectReason, Rejection};
use crate::table::Age;
use crate::watch::objects::{Kind, ObjectName};
use proxy_common::abi::Port;
use std::collections::{BTreeMap, BTreeSet};

/// The health checks of all Services that ask for any.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthChecks {
    wanted: BTreeMap<ObjectName, Wanted>,
    /// Who claims a port; the first has it.
    claims: BTreeMap<Port, BTreeSet<(Age, ObjectName)>>,
    losers: BTreeSet<ObjectName>,
    /// Of these what is told may be another than before.
    changed: BTreeSet<ObjectName>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    age: Age,
    port: Port,
    checks: Vec<HealthCheck>,
}

impl HealthChecks {
    /// Takes in what a Service of this age asks for: a check for each family, all of one port. Returns what is left out afresh.
    pub fn set(&mut self, name: &ObjectName, age: Age, checks: Vec<HealthCheck>) -> Vec<Rejection> {
        let after = checks.first().map(|check| Wanted { age, port: check.port, checks: checks.clone() });
        let before = self.wanted.get(name);
        if before == after.as_ref() {
            return Vec::new();
        }
        self.changed.insert(name.clone());
        let place = |wanted: &Wanted| (wanted.age, wanted.port);
        let (left, taken) = (before.map(place), after.as_ref().map(place));
        match after {
            Some(wanted) => self.wanted.insert(name.clone(), wanted),
            None => self.wanted.remove(name),
        };
        if left == taken {
            return Vec::new();
        }
        if let Some((age, port)) = left {
            self.losers.remove(name);
            self.claims.entry(port).or_default().remove(&(age, name.clone()));
        }
        if let Some((age, port)) = taken {
            self.claims.entry(port).or_default().insert((age, name.clone()));
        }
        let mut ports: Vec<Port> = left.into_iter().chain(taken).map(|(_, port)| port).collect();
        ports.dedup();
        ports.into_iter().flat_map(|port| self.settle(port)).collect()
    }

    /// What a Service has: nothing if another has its port.
    pub fn get(&self, name: &ObjectName) -> &[HealthCheck] {
        match self.wanted.get(name) {
            Some(wanted) if !self.losers.contains(name) => &wanted.checks,
            _ => &[],
        }
    }

    /// All of them, by Service.
    pub fn all(&self) -> impl Iterator<Item = (&ObjectName, &[HealthCheck])> {
        self.wanted.keys().map(|name| (name, self.get(name))).filter(|(_, checks)| !checks.is_empty())
    }

    /// What may be another than at the last call, by Service.
    pub fn take_changed(&mut self) -> Vec<(ObjectName, Vec<HealthCheck>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|name| (name.clone(), self.get(&name).to_vec())).collect()
    }

    /// The Services whose port another has.
    pub fn rejections(&self) -> impl Iterator<Item = Rejection> {
        self.losers.iter().filter_map(|name| self.rejection(name))
    }

    /// Gives a port to the first who claims it. Returns who lost it afresh.
    fn settle(&mut self, port: Port) -> Vec<Rejection> {
        let Some(claims) = self.claims.get(&port) else { return Vec::new() };
        let mut fresh = Vec::new();
        for (place, (_, name)) in claims.iter().enumerate() {
            let (loses, lost) = (place > 0, self.losers.contains(name));
            if loses == lost {
                continue;
            }
            self.changed.insert(name.clone());
            if loses {
                self.losers.insert(name.clone());
                fresh.push(name.clone());
            } else {
                self.losers.remove(name);
            }
        }
        if claims.is_empty() {
            self.claims.remove(&port);
        }
        fresh.iter().filter_map(|name| self.rejection(name)).collect()
    }

    fn rejection(&self, name: &ObjectName) -> Option<Rejection> {
        let port = self.wanted.get(name)?.port;
        let (_, owner) = self.claims.get(&port)?.first()?;
        let reason = RejectReason::HealthCheckTaken { port, owner: owner.clone() };
        Some(Rejection { kind: Kind::Service, object: name.clone(), service: Some(name.name.clone()), reason, more: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_common::abi::Family;

    fn check(port: u16, endpoints: usize) -> Vec<HealthCheck> {
        vec![HealthCheck { family: Family::V4, port: Port::new(port), endpoints }]
    }

    fn name(name: &str) -> ObjectName {
        ObjectName::new("n", name)
    }

    fn age(created: i64) -> Age {
        Age::from(Some(created))
    }

    fn changed(health: &mut HealthChecks) -> Vec<(String, Vec<HealthCheck>)> {
        health.take_changed().into_iter().map(|(name, checks)| (name.name.to_string(), checks)).collect()
    }

    #[test]
    fn s49_only_what_changed_is_told() {
        let mut health = HealthChecks::default();
        health.set(&name("a"), age(1), check(32_000, 1));
        health.set(&name("b"), age(2), check(32_001, 1));
        assert_eq!(changed(&mut health).len(), 2);
        health.set(&name("a"), age(1), check(32_000, 1));
        health.set(&name("b"), age(2), check(32_001, 3));
        assert_eq!(changed(&mut health), [("b".into(), check(32_001, 3))]);
        health.set(&name("b"), age(2), Vec::new());
        assert_eq!(changed(&mut health), [("b".into(), Vec::new())]);
        assert_eq!(health.all().count(), 1);
    }

    #[test]
    fn s09_the_older_has_the_port_whatever_came_first() {
        let mut health = HealthChecks::default();
        assert_eq!(health.set(&name("young"), age(2), check(32_000, 1)), []);
        changed(&mut health);
        let said = health.set(&name("old"), age(1), check(32_000, 4));
        assert_eq!(
            said.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["Service n/young: healthCheckNodePort 32000 belongs to the older Service n/old; it goes to this one when that \
                 one leaves it"]
        );
        assert_eq!(changed(&mut health), [("old".into(), check(32_000, 4)), ("young".into(), Vec::new())]);
        assert_eq!(health.rejections().count(), 1);
        assert_eq!(health.set(&name("young"), age(2), check(32_000, 7)), [], "said already");
        assert_eq!(health.set(&name("old"), age(1), check(32_001, 4)), []);
        assert_eq!(changed(&mut health), [("old".into(), check(32_001, 4)), ("young".into(), check(32_000, 7))]);
        assert_eq!(health.rejections().count(), 0);
    }
}

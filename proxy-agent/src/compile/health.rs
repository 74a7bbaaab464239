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
    /// Of these ports claims are others than when they were last settled.
    unsettled: BTreeSet<Port>,
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
    /// Takes in what a Service of this age asks for: a check for each family, all of one port.
    pub fn set(&mut self, name: &ObjectName, age: Age, checks: Vec<HealthCheck>) {
        let after = checks.first().map(|check| Wanted { age, port: check.port, checks: checks.clone() });
        if self.wanted.get(name) == after.as_ref() {
            return;
        }
        self.changed.insert(name.clone());
        if let Some(Wanted { age, port, .. }) = self.wanted.remove(name) {
            self.claims.entry(port).or_default().remove(&(age, name.clone()));
            self.unsettled.insert(port);
        }
        if let Some(wanted) = after {
            self.claims.entry(wanted.port).or_default().insert((wanted.age, name.clone()));
            self.unsettled.insert(wanted.port);
            self.wanted.insert(name.clone(), wanted);
        }
    }

    /// Once all that came together is in: gives each port to the first who claims it. Returns who has not got one of those that
    /// changed.
    pub fn settle(&mut self) -> Vec<Rejection> {
        let mut rejected = Vec::new();
        for port in std::mem::take(&mut self.unsettled) {
            let Some(claims) = self.claims.get(&port) else { continue };
            self.changed.extend(claims.iter().map(|(_, name)| name.clone()));
            rejected.extend(losers(port, claims));
            if claims.is_empty() {
                self.claims.remove(&port);
            }
        }
        rejected
    }

    /// What a Service has: nothing if another has its port.
    pub fn get(&self, name: &ObjectName) -> &[HealthCheck] {
        let has =
            |wanted: &&Wanted| self.claims.get(&wanted.port).and_then(BTreeSet::first).is_some_and(|(_, first)| first == name);
        self.wanted.get(name).filter(has).map_or(&[], |wanted| &wanted.checks)
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
        self.claims.iter().flat_map(|(port, claims)| losers(*port, claims))
    }
}

/// Who claims a port and has it not.
fn losers(port: Port, claims: &BTreeSet<(Age, ObjectName)>) -> impl Iterator<Item = Rejection> {
    let owner = claims.first().map(|(_, owner)| owner);
    claims.iter().skip(1).zip(owner.into_iter().cycle()).map(move |((_, name), owner)| Rejection {
        kind: Kind::Service,
        object: name.clone(),
        service: Some(name.name.clone()),
        reason: RejectReason::HealthCheckTaken { port, owner: owner.clone() },
        more: 0,
    })
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

    fn set(health: &mut HealthChecks, service: &str, created: i64, checks: Vec<HealthCheck>) -> Vec<Rejection> {
        health.set(&name(service), age(created), checks);
        health.settle()
    }

    fn changed(health: &mut HealthChecks) -> Vec<(String, Vec<HealthCheck>)> {
        health.take_changed().into_iter().map(|(name, checks)| (name.name.to_string(), checks)).collect()
    }

    #[test]
    fn s49_only_what_changed_is_told() {
        let mut health = HealthChecks::default();
        set(&mut health, "a", 1, check(32_000, 1));
        set(&mut health, "b", 2, check(32_001, 1));
        assert_eq!(changed(&mut health).len(), 2);
        set(&mut health, "a", 1, check(32_000, 1));
        set(&mut health, "b", 2, check(32_001, 3));
        assert_eq!(changed(&mut health), [("b".into(), check(32_001, 3))]);
        set(&mut health, "b", 2, Vec::new());
        assert_eq!(changed(&mut health), [("b".into(), Vec::new())]);
        assert_eq!(health.all().count(), 1);
    }

    #[test]
    fn s09_the_older_has_the_port_whatever_came_first() {
        let mut health = HealthChecks::default();
        assert_eq!(set(&mut health, "young", 2, check(32_000, 1)), []);
        changed(&mut health);
        let said = set(&mut health, "old", 1, check(32_000, 4));
        assert_eq!(
            said.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["Service n/young: healthCheckNodePort 32000 belongs to the older Service n/old; it goes to this one when that \
                 one leaves it"]
        );
        assert_eq!(changed(&mut health), [("old".into(), check(32_000, 4)), ("young".into(), Vec::new())]);
        assert_eq!(health.rejections().count(), 1);
        set(&mut health, "young", 2, check(32_000, 7));
        assert_eq!(set(&mut health, "old", 1, check(32_001, 4)), []);
        assert_eq!(changed(&mut health), [("old".into(), check(32_001, 4)), ("young".into(), check(32_000, 7))]);
        assert_eq!(health.rejections().count(), 0);
    }

    #[test]
    fn services_that_change_ports_with_each_other_take_nothing_away() {
        let mut health = HealthChecks::default();
        set(&mut health, "a", 2, check(32_000, 1));
        set(&mut health, "b", 1, check(32_001, 1));
        changed(&mut health);
        health.set(&name("a"), age(2), check(32_001, 1));
        health.set(&name("b"), age(1), check(32_000, 1));
        assert_eq!(health.settle(), []);
        assert_eq!(changed(&mut health), [("a".into(), check(32_001, 1)), ("b".into(), check(32_000, 1))]);
    }
}

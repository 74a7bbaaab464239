//! Which service each frontend leads to. What comes goes in before what goes comes out, so that a frontend that moves from one
//! service to another is served at every moment.

use crate::keys::KeyMap;
use crate::maps::{MapError, Maps, Partial};
use proxy_common::abi::{Frontend, FrontendKey, FrontendKind, ServiceId};

/// FRONTENDS as the agent knows it.
#[derive(Clone, Debug, Default)]
pub struct Frontends(KeyMap<FrontendKey, Frontend>);

/// A frontend that the table did not take or give up.
pub type Failure = (FrontendKey, ServiceId, MapError);

impl Frontends {
    /// The table as it was found.
    pub fn adopt(found: impl IntoIterator<Item = (FrontendKey, Frontend)>) -> Self {
        Self(found.into_iter().collect())
    }

    /// Number of frontends.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `key` leads to `service`.
    pub fn leads_to(&self, key: &FrontendKey, service: ServiceId) -> bool {
        self.0.get(key).is_some_and(|held| held.service == service)
    }

    /// What kind of address `key` is.
    pub fn kind(&self, key: &FrontendKey) -> Option<FrontendKind> {
        self.0.get(key).map(|held| held.kind)
    }

    /// Those of `wanted` that do not lead to `service` yet, or as another kind.
    pub fn missing(&self, wanted: &[(FrontendKey, FrontendKind)], service: ServiceId) -> Vec<(FrontendKey, Frontend)> {
        let wanted = wanted.iter().map(|(key, kind)| (*key, Frontend { service, kind: *kind }));
        wanted.filter(|(key, value)| self.0.get(key) != Some(value)).collect()
    }

    /// How many of `wanted` need an entry of their own.
    pub fn absent(&self, wanted: &[(FrontendKey, FrontendKind)]) -> usize {
        wanted.iter().filter(|(key, _)| !self.0.contains_key(key)).count()
    }

    /// Puts frontends in; those that the table does not take are skipped and told.
    pub fn insert(&mut self, maps: &mut impl Maps, entries: &[(FrontendKey, Frontend)]) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut rest = entries;
        while !rest.is_empty() {
            let (done, error) = outcome(maps.insert_frontends(rest), rest.len());
            self.0.extend(rest[..done].iter().copied());
            if let Some(error) = error {
                failures.push((rest[done].0, rest[done].1.service, error));
            }
            rest = &rest[rest.len().min(done + 1)..];
        }
        failures
    }

    /// Takes out those frontends that still lead to the service that gives them up.
    pub fn remove(&mut self, maps: &mut impl Maps, given_up: &[(FrontendKey, ServiceId)]) -> Vec<Failure> {
        let own: Vec<(FrontendKey, ServiceId)> =
            given_up.iter().copied().filter(|(key, service)| self.leads_to(key, *service)).collect();
        let keys: Vec<FrontendKey> = own.iter().map(|(key, _)| *key).collect();
        let (mut failures, mut at) = (Vec::new(), 0);
        while at < keys.len() {
            let (done, error) = outcome(maps.remove_frontends(&keys[at..]), keys.len() - at);
            for key in &keys[at..at + done] {
                self.0.remove(key);
            }
            if let Some(error) = error {
                failures.push((keys[at + done], own[at + done].1, error));
            }
            at += done + 1;
        }
        failures
    }
}

fn outcome(result: Result<(), Partial>, len: usize) -> (usize, Option<MapError>) {
    match result {
        Ok(()) => (len, None),
        Err(Partial { done, error }) => (done.min(len - 1), Some(error)),
    }
}

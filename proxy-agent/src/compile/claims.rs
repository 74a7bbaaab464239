//! Who claims which frontend, and who has it (S9).

use crate::table::Age;
use proxy_common::abi::{FrontendKey, ServiceName};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A claim; the lowest of a key's claims has it: the oldest, then by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Claim {
    age: Age,
    name: Arc<ServiceName>,
}

/// All claims by key, those of a key in order.
#[derive(Debug, Default)]
pub struct Claims {
    by_key: HashMap<FrontendKey, Vec<Claim>>,
}

impl Claim {
    /// A service port's claim.
    pub fn new(age: Age, name: &Arc<ServiceName>) -> Self {
        Self { age, name: name.clone() }
    }
}

impl Claims {
    /// Who has the key.
    pub fn owner(&self, key: &FrontendKey) -> Option<&Arc<ServiceName>> {
        self.by_key.get(key)?.first().map(|claim| &claim.name)
    }

    /// Adds a claim; whose frontends change by that is put into `affected`.
    pub fn add(&mut self, key: FrontendKey, claim: Claim, affected: &mut BTreeSet<Arc<ServiceName>>) {
        let claims = self.by_key.entry(key).or_default();
        if let Err(position) = claims.binary_search(&claim) {
            if position == 0 {
                affected.extend(claims.first().map(|claim| claim.name.clone()));
            }
            claims.insert(position, claim);
        }
    }

    /// Takes a claim away; whose frontends change by that is put into `affected`.
    pub fn remove(&mut self, key: &FrontendKey, claim: &Claim, affected: &mut BTreeSet<Arc<ServiceName>>) {
        let Some(claims) = self.by_key.get_mut(key) else { return };
        let Ok(position) = claims.binary_search(claim) else { return };
        claims.remove(position);
        match claims.first() {
            None => drop(self.by_key.remove(key)),
            Some(next) if position == 0 => drop(affected.insert(next.name.clone())),
            Some(_) => {}
        }
    }
}

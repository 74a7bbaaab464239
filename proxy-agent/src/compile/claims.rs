//! Who claims which frontend, and who has it (S9).

use crate::keys::KeyMap;
use crate::table::{Age, PortName};
use proxy_common::abi::FrontendKey;
use std::collections::hash_map::Entry;

/// A claim; the lowest of a key's claims has it: the oldest, then by name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Claim {
    age: Age,
    name: PortName,
}

/// All claims by key.
#[derive(Debug, Default)]
pub struct Claims {
    by_key: KeyMap<FrontendKey, Queue>,
}

/// The claims of a key, in order: hardly any has more than one.
#[derive(Debug)]
struct Queue {
    first: Claim,
    others: Vec<Claim>,
}

impl Claim {
    /// A service port's claim.
    pub fn new(age: Age, name: &PortName) -> Self {
        Self { age, name: name.clone() }
    }
}

impl Claims {
    /// Who has the key.
    pub fn owner(&self, key: &FrontendKey) -> Option<&PortName> {
        self.by_key.get(key).map(|queue| &queue.first.name)
    }

    /// Adds a claim; whose frontends change by that is put into `affected`.
    pub fn add(&mut self, key: FrontendKey, claim: Claim, affected: &mut Vec<PortName>) {
        match self.by_key.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(Queue { first: claim, others: Vec::new() })),
            Entry::Occupied(mut entry) => entry.get_mut().add(claim, affected),
        }
    }

    /// Takes a claim away; whose frontends change by that is put into `affected`.
    pub fn remove(&mut self, key: &FrontendKey, claim: &Claim, affected: &mut Vec<PortName>) {
        let Some(queue) = self.by_key.get_mut(key) else { return };
        if queue.first != *claim {
            queue.others.retain(|other| other != claim);
        } else if queue.others.is_empty() {
            self.by_key.remove(key);
        } else {
            queue.first = queue.others.remove(0);
            affected.push(queue.first.name.clone());
        }
    }
}

impl Queue {
    fn add(&mut self, claim: Claim, affected: &mut Vec<PortName>) {
        if claim < self.first {
            affected.push(self.first.name.clone());
            self.others.insert(0, std::mem::replace(&mut self.first, claim));
        } else if claim != self.first
            && let Err(position) = self.others.binary_search(&claim)
        {
            self.others.insert(position, claim);
        }
    }
}

//! ServiceCIDRs as facts, and the prefixes that follow from all of them (S26).

use super::check::address;
use super::ip::parse_cidr;
use super::rejection::RejectReason;
use crate::watch::objects;
use ipnet::IpNet;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What one object says. One that is being deleted counts until it is gone: Services still have addresses of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceCidr {
    /// When it was created, in seconds of Unix time.
    created: Option<i64>,
    cidrs: Vec<IpNet>,
}

/// ServiceCIDRs by name.
pub type ServiceCidrs = BTreeMap<Arc<str>, ServiceCidr>;

/// What the object says, and what of it was left out.
pub fn service_cidr(object: &objects::ServiceCidr, rejected: &mut Vec<RejectReason>) -> ServiceCidr {
    let mut cidrs = Vec::with_capacity(object.spec.cidrs.len());
    for text in &object.spec.cidrs {
        match parse_cidr(text).filter(makes_sense) {
            Some(net) => cidrs.push(net),
            None => rejected.push(RejectReason::ServiceCidr { text: text.clone() }),
        }
    }
    ServiceCidr { created: object.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second()), cidrs }
}

/// A prefix of all addresses, or of such that no Service can have, would stop traffic that has nothing to do with Services.
fn makes_sense(net: &IpNet) -> bool {
    net.prefix_len() > 0 && address(&net.addr().to_string()).is_ok()
}

/// The prefixes of all objects, those of older objects first (S9), without those that lie within another.
pub fn prefixes(all: &ServiceCidrs) -> Vec<IpNet> {
    let mut objects: Vec<_> =
        all.iter().map(|(name, object)| ((object.created.is_none(), object.created, name), object)).collect();
    objects.sort_by_key(|(age, _)| *age);
    let mut cidrs: Vec<IpNet> = objects.into_iter().flat_map(|(_, object)| object.cidrs.iter().copied()).collect();
    let all: HashSet<IpNet> = cidrs.iter().copied().collect();
    let mut met = HashSet::new();
    cidrs.retain(|net| met.insert(*net) && !wider(*net).any(|wider| all.contains(&wider)));
    cidrs
}

/// The prefixes that contain this one.
fn wider(net: IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(net.supernet(), IpNet::supernet)
}

#[cfg(test)]
mod tests {
    use crate::state::State;
    use crate::watch::files::parse;
    use crate::watch::objects::{Kind, ObjectName};
    use std::collections::BTreeSet;

    fn object(name: &str, created: &str, cidrs: &str) -> String {
        let created =
            if created.is_empty() { String::new() } else { format!(", creationTimestamp: '2024-01-01T00:00:{created}Z'") };
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {{name: {name}{created}}}\nspec: {{cidrs: [{cidrs}]}}\n"
        )
    }

    fn take(state: &mut State, text: &str) -> usize {
        let defined = parse::yaml(text).unwrap();
        defined.iter().map(|defined| state.apply(&defined.object, &mut BTreeSet::new()).rejected.len()).sum()
    }

    fn texts(state: &State) -> Vec<String> {
        state.service_cidrs().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn s26_older_objects_first_and_each_address_once() {
        let mut state = State::new("node-1");
        take(&mut state, &object("unknown-age", "", "10.97.0.0/16"));
        take(&mut state, &object("newer", "02", "10.96.128.0/17, 10.99.0.0/16"));
        take(&mut state, &object("kubernetes", "01", "10.96.0.0/16, 'fd00:96::/112'"));
        take(&mut state, &object("same", "03", "10.99.0.0/16"));
        assert_eq!(texts(&state), ["10.96.0.0/16", "fd00:96::/112", "10.99.0.0/16", "10.97.0.0/16"]);
        state.delete(Kind::ServiceCidr, &ObjectName::new("", "kubernetes"), &mut BTreeSet::new());
        assert_eq!(texts(&state), ["10.96.128.0/17", "10.99.0.0/16", "10.97.0.0/16"], "what it covered counts again");
        state.delete(Kind::ServiceCidr, &ObjectName::new("", "newer"), &mut BTreeSet::new());
        assert_eq!(texts(&state), ["10.99.0.0/16", "10.97.0.0/16"], "another object has it too");
    }

    #[test]
    fn s26_an_object_that_is_being_deleted_counts() {
        let mut state = State::new("node-1");
        let leaving =
            object("a", "01", "10.96.0.0/16").replace("{name: a", "{deletionTimestamp: '2024-01-01T00:01:00Z', name: a");
        take(&mut state, &leaving);
        assert_eq!(texts(&state), ["10.96.0.0/16"]);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let mut state = State::new("node-1");
        let rejected = take(&mut state, &object("a", "", "0.0.0.0/0, '::/0', 127.0.0.0/8, x, '', 010.096.000.000/16"));
        assert_eq!((rejected, texts(&state)), (1, vec!["10.96.0.0/16".to_owned()]));
        let said: Vec<_> = state.rejections().map(ToString::to_string).collect();
        assert!(said[0].starts_with("ServiceCIDR a: prefix 0.0.0.0/0: ") && said[0].ends_with("(and 4 more)"), "{said:?}");
    }
}

//! Random ServiceCIDRs, some of them nonsense.

use super::objects::text;
use kube::core::ObjectMeta;
use proptest::prelude::*;
use proxy_agent::watch::objects::{Object, ServiceCidr, ServiceCidrSpec};

/// A ServiceCIDR.
pub fn service_cidr() -> impl Strategy<Value = Object> {
    let prefix = text(&["10.96.0.0/16", "10.96.128.0/17", "fd00::/112", "0.0.0.0/0", "x"]);
    (text(&["kubernetes", "more"]), prop::collection::vec(prefix, 0..3)).prop_map(|(name, cidrs)| {
        let metadata = ObjectMeta { name: Some(name), ..ObjectMeta::default() };
        Object::ServiceCidr(ServiceCidr { metadata, spec: ServiceCidrSpec { cidrs } })
    })
}

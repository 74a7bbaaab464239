//! Metadata: who an object is, its age, and the few labels and annotations that matter; managed fields, owners and all else are
//! never kept.

use kube::core::ObjectMeta;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The kinds of object that are followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Services.
    Service,
    /// EndpointSlices.
    EndpointSlice,
    /// Nodes, of which only this one matters.
    Node,
    /// ServiceCIDRs.
    ServiceCidr,
}

/// Namespace and name of an object; the namespace of a Node or ServiceCIDR is empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

thread_local! {
    /// The namespace that a name was last made in.
    static LAST_NAMESPACE: RefCell<Arc<str>> = RefCell::new(Arc::from(""));
}

/// The annotation that says when the change began which the slice controller wrote (§7).
pub(super) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Service, Self::EndpointSlice, Self::Node, Self::ServiceCidr];

    /// The name as manifests spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Node => "Node",
            Self::ServiceCidr => "ServiceCIDR",
        }
    }

    /// The name of the resource in the API.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::Node => "nodes",
            Self::ServiceCidr => "servicecidrs",
        }
    }

    /// Whether the agent can't do without it: ServiceCIDRs are there from Kubernetes 1.33 on, and may stand in the configuration.
    pub const fn is_vital(self) -> bool {
        !matches!(self, Self::ServiceCidr)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl ObjectName {
    /// A name from its parts. Objects come namespace by namespace, so that those of one share its name.
    pub fn new(namespace: &str, name: &str) -> Self {
        let shared = LAST_NAMESPACE.with_borrow_mut(|last| {
            if **last != *namespace {
                *last = namespace.into();
            }
            last.clone()
        });
        Self { namespace: shared, name: name.into() }
    }

    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// The labels that matter: whose an object is (S1, S5), and where a node stands (S19).
const LABELS: [&str; 4] = [
    "service.kubernetes.io/service-proxy-name",
    "service.kubernetes.io/headless",
    "kubernetes.io/service-name",
    "topology.kubernetes.io/zone",
];
/// The annotations that matter.
const ANNOTATIONS: [&str; 2] = [TRIGGER_TIME, ALGORITHM];
/// With this annotation a Service chooses how its endpoints are chosen (S20).
pub const ALGORITHM: &str = "sluice.dev/algorithm";

/// Reads metadata and keeps what matters; what does not is passed over without being taken in.
pub(super) fn slim<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let slim = Slim::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        labels: Some(slim.labels).filter(|labels| !labels.is_empty()),
        annotations: Some(slim.annotations).filter(|annotations| !annotations.is_empty()),
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        resource_version: slim.resource_version,
        ..ObjectMeta::default()
    })
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Slim {
    name: Option<String>,
    namespace: Option<String>,
    #[serde(deserialize_with = "labels")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "annotations")]
    annotations: BTreeMap<String, String>,
    creation_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    deletion_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    resource_version: Option<String>,
}

fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_option(Kept(&LABELS))
}

fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    deserializer.deserialize_option(Kept(&ANNOTATIONS))
}

/// Of a map, or of `null`, the entries with these keys.
struct Kept(&'static [&'static str]);

impl<'de> Visitor<'de> for Kept {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kept = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.0.contains(&key.as_str()) {
                kept.insert(key, map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(kept)
    }
}

/// Ties a type to its place in the API.
macro_rules! resource {
    ($type:ty, $kind:literal, $group:literal, $plural:literal, $scope:ty) => {
        impl kube::Resource for $type {
            type DynamicType = ();
            type Scope = $scope;

            fn kind((): &()) -> std::borrow::Cow<'_, str> {
                $kind.into()
            }

            fn group((): &()) -> std::borrow::Cow<'_, str> {
                $group.into()
            }

            fn version((): &()) -> std::borrow::Cow<'_, str> {
                "v1".into()
            }

            fn plural((): &()) -> std::borrow::Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &kube::core::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(super) use resource;

#[cfg(test)]
mod tests {
    use crate::watch::objects::{Node, Service};

    /// What a controller and a careful user leave on an object.
    const FULL: &str = r#"{"name": "a", "namespace": "n", "uid": "u", "generation": 7, "resourceVersion": "4", "selfLink": "/x",
        "labels": {"app": "web", "topology.kubernetes.io/zone": "z", "service.kubernetes.io/headless": ""},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{long}", "x": "y",
            "endpoints.kubernetes.io/last-change-trigger-time": "2024-01-01T00:00:00Z"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "a", "uid": "u"}], "finalizers": ["f"],
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:ports": {}}}}],
        "creationTimestamp": "2024-01-01T00:00:00Z"}"#;

    #[test]
    fn what_does_not_matter_is_not_kept() {
        let service: Service = serde_json::from_str(&format!(r#"{{"metadata": {FULL}, "spec": {{}}}}"#)).unwrap();
        let kept = serde_json::to_value(&service.metadata).unwrap();
        let expected = serde_json::json!({
            "name": "a", "namespace": "n", "resourceVersion": "4", "creationTimestamp": "2024-01-01T00:00:00Z",
            "labels": {"topology.kubernetes.io/zone": "z", "service.kubernetes.io/headless": ""},
            "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "2024-01-01T00:00:00Z"},
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn null_and_nothing_are_empty() {
        for text in [r#"{"labels": null, "annotations": null}"#, "{}"] {
            let node: Node = serde_json::from_str(&format!(r#"{{"metadata": {text}}}"#)).unwrap();
            assert_eq!((node.metadata.labels, node.metadata.annotations), (None, None));
        }
    }
}

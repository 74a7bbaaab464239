//! A file's text into objects. Every error has a line.

use crate::watch::objects::{EndpointSlice, Kind, Node, Object, Service, ServiceCidr, null_as_default};
use crate::watch::yaml::{yaml_documents, yaml_error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::Spanned;

/// An object and the line where its definition begins.
#[derive(Clone, PartialEq, Debug)]
pub struct Defined {
    /// The object.
    pub object: Object,
    /// Counted from 1.
    pub line: u64,
}

/// Why a file was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    /// Counted from 1.
    pub line: u64,
    /// What is wrong there.
    pub error: String,
}

/// What any document says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<Item> {
    #[serde(default, deserialize_with = "null_as_default")]
    api_version: String,
    #[serde(default, deserialize_with = "null_as_default")]
    kind: String,
    items: Option<Vec<Item>>,
}

/// What a document is to us.
enum Sort {
    One(Kind),
    /// A list, with the kind of those items that don't say theirs.
    List(Option<Kind>),
    NotOurs,
}

/// The objects in a YAML file. Documents of kinds that are not followed are passed over.
pub fn yaml(text: &str) -> Result<Vec<Defined>, ParseError> {
    let mut found = Vec::new();
    for (first, document) in yaml_documents(text) {
        let at = |error: ParseError| ParseError { line: first + error.line.max(1) - 1, ..error };
        let Some(head) = head(document).map_err(at)? else { continue };
        match sort(&head.api_version, &head.kind).map_err(|error| ParseError { line: first, error })? {
            Sort::One(kind) => found.push(Defined { object: from_yaml_of(kind, document).map_err(at)?, line: first }),
            Sort::List(kind) => {
                for item in head.items.unwrap_or_default() {
                    let line = first + item.defined.line().max(1) - 1;
                    found.extend(from_item(item.value, kind, line)?);
                }
            }
            Sort::NotOurs => {}
        }
    }
    found.into_iter().map(complete).collect()
}

/// The objects in a JSON file.
pub fn json(text: &str) -> Result<Vec<Defined>, ParseError> {
    let value: Value = serde_json::from_str(text).map_err(|error| json_error(&error, 1))?;
    let head: Head<Value> = serde_json::from_str(text).map_err(|error| json_error(&error, 1))?;
    let found = match sort(&head.api_version, &head.kind).map_err(|error| ParseError { line: 1, error })? {
        Sort::One(kind) => vec![Defined { object: from_value(value, kind, 1)?, line: 1 }],
        Sort::List(kind) => {
            let items = head.items.unwrap_or_default().into_iter().map(|item| from_item(item, kind, 1));
            items.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()
        }
        Sort::NotOurs => Vec::new(),
    };
    found.into_iter().map(complete).collect()
}

fn sort(version: &str, kind: &str) -> Result<Sort, String> {
    Ok(match (version, kind) {
        ("", _) => return Err("apiVersion is missing; write that of the object, such as v1".into()),
        (_, "") => return Err("kind is missing; write that of the object, such as Service".into()),
        ("v1", "Service") => Sort::One(Kind::Service),
        ("v1", "Node") => Sort::One(Kind::Node),
        ("discovery.k8s.io/v1", "EndpointSlice") => Sort::One(Kind::EndpointSlice),
        ("networking.k8s.io/v1", "ServiceCIDR") => Sort::One(Kind::ServiceCidr),
        ("v1", "List") => Sort::List(None),
        ("v1", "ServiceList") => Sort::List(Some(Kind::Service)),
        ("v1", "NodeList") => Sort::List(Some(Kind::Node)),
        ("discovery.k8s.io/v1", "EndpointSliceList") => Sort::List(Some(Kind::EndpointSlice)),
        ("networking.k8s.io/v1", "ServiceCIDRList") => Sort::List(Some(Kind::ServiceCidr)),
        (_, "EndpointSlice" | "EndpointSliceList") if version.starts_with("discovery.k8s.io/") => {
            return Err(format!("apiVersion {version} of {kind}; write discovery.k8s.io/v1"));
        }
        (_, "ServiceCIDR" | "ServiceCIDRList") if version.starts_with("networking.k8s.io/") => {
            return Err(format!("apiVersion {version} of {kind}; write networking.k8s.io/v1"));
        }
        _ => Sort::NotOurs,
    })
}

fn from_item(item: Value, list: Option<Kind>, line: u64) -> Result<Option<Defined>, ParseError> {
    let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or("");
    let kind = match (list, text("apiVersion"), text("kind")) {
        (Some(kind), "", "") => Some(kind),
        (_, version, kind) => match sort(version, kind).map_err(|error| ParseError { line, error })? {
            Sort::One(kind) => Some(kind),
            Sort::List(_) | Sort::NotOurs => None,
        },
    };
    kind.map(|kind| Ok(Defined { object: from_value(item, kind, line)?, line })).transpose()
}

fn from_value(value: Value, kind: Kind, line: u64) -> Result<Object, ParseError> {
    let object = match kind {
        Kind::Service => serde_json::from_value(value).map(Object::Service),
        Kind::EndpointSlice => serde_json::from_value(value).map(Object::EndpointSlice),
        Kind::Node => serde_json::from_value(value).map(Object::Node),
        Kind::ServiceCidr => serde_json::from_value(value).map(Object::ServiceCidr),
    };
    object.map_err(|error| ParseError { line, error: format!("in this {kind}: {error}") })
}

fn from_yaml_of(kind: Kind, document: &str) -> Result<Object, ParseError> {
    Ok(match kind {
        Kind::Service => Object::Service(from_yaml::<Service>(document)?),
        Kind::EndpointSlice => Object::EndpointSlice(from_yaml::<EndpointSlice>(document)?),
        Kind::Node => Object::Node(from_yaml::<Node>(document)?),
        Kind::ServiceCidr => Object::ServiceCidr(from_yaml::<ServiceCidr>(document)?),
    })
}

/// An untyped item can't tell the text `n` from the boolean, unless only `true` and `false` are booleans.
fn head(document: &str) -> Result<Option<Head<Spanned<Value>>>, ParseError> {
    from_yaml_with(document, serde_saphyr::options! { budget: unlimited(), strict_booleans: true })
}

fn from_yaml<T: DeserializeOwned>(document: &str) -> Result<T, ParseError> {
    from_yaml_with(document, serde_saphyr::options! { budget: unlimited() })
}

fn from_yaml_with<T: DeserializeOwned>(document: &str, options: serde_saphyr::Options) -> Result<T, ParseError> {
    serde_saphyr::from_str_with_options(document, options).map_err(|error| {
        let (line, error) = yaml_error(&error);
        ParseError { line, error }
    })
}

/// A List of a large cluster's objects is one document; what limits it is memory.
fn unlimited() -> Option<serde_saphyr::Budget> {
    serde_saphyr::budget! { max_events: usize::MAX, max_nodes: usize::MAX, max_total_scalar_bytes: usize::MAX }
}

fn json_error(error: &serde_json::Error, line: u64) -> ParseError {
    ParseError { line: (error.line() as u64).max(line), error: error.to_string() }
}

/// Fills in what the API server does: the namespace, and the empty name of a slice's unnamed port.
fn complete(mut defined: Defined) -> Result<Defined, ParseError> {
    let (meta, namespaced) = match &mut defined.object {
        Object::Service(service) => (&mut service.metadata, true),
        Object::EndpointSlice(slice) => {
            slice.ports.iter_mut().for_each(|port| port.name = Some(port.name.take().unwrap_or_default()));
            (&mut slice.metadata, true)
        }
        Object::Node(node) => (&mut node.metadata, false),
        Object::ServiceCidr(cidr) => (&mut cidr.metadata, false),
    };
    if meta.name.as_ref().is_none_or(String::is_empty) {
        let error = format!("metadata.name of this {} is missing; write one", defined.object.kind());
        return Err(ParseError { line: defined.line, error });
    }
    let namespace = meta.namespace.take().filter(|namespace| !namespace.is_empty());
    meta.namespace = namespaced.then(|| namespace.unwrap_or_else(|| "default".into()));
    Ok(defined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[Defined]) -> Vec<String> {
        found.iter().map(|defined| format!("{} {} @{}", defined.object.kind(), defined.object.name(), defined.line)).collect()
    }

    fn error(text: &str) -> String {
        let error = yaml(text).unwrap_err();
        format!("{}: {}", error.line, error.error)
    }

    #[test]
    fn documents_lists_and_other_kinds() {
        let text = "# comment\n---\napiVersion: v1\nkind: Service\nmetadata: {name: a}\n--- # next\napiVersion: apps/v1\n\
                    kind: Deployment\nmetadata: {name: d}\nspec: {ports: none, type: {x: 1}}\n---\n---\napiVersion: v1\nkind: List\n\
                    items:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b, namespace: n}\n- apiVersion: v1\n  kind: Secret\n\
                    - apiVersion: discovery.k8s.io/v1\n  kind: EndpointSlice\n  metadata: {name: c}\n---\napiVersion: v1\nkind: Node\n\
                    metadata: {name: node}\n---\napiVersion: v1\nkind: ServiceList\nitems:\n- metadata: {name: z}\n---\n\
                    apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: k, namespace: odd}\n";
        let found = yaml(text).unwrap();
        let expected = [
            "Service default/a @2",
            "Service n/b @16",
            "EndpointSlice default/c @21",
            "Node node @24",
            "Service default/z @32",
            "ServiceCIDR k @33",
        ];
        assert_eq!(names(&found), expected);
        assert_eq!(yaml("").unwrap(), []);
        assert_eq!(yaml("# nothing\n---\n---\n").unwrap(), []);
    }

    #[test]
    fn a_service_of_another_group_is_not_ours() {
        assert_eq!(yaml("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n").unwrap(), []);
    }

    #[test]
    fn json_files() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}]}"#;
        assert_eq!(names(&json(text).unwrap()), ["Service default/a @1"]);
        assert_eq!(json("{\n\"kind\": \"Service\",\n}").unwrap_err().line, 3);
    }

    #[test]
    fn errors_have_lines() {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n";
        assert!(error(&format!("{service}---\n{service}spec:\n  ports: 80\n")).starts_with("9: "));
        let cut = error(&format!("{service}spec:\n  ports:\n  - port: [\n"));
        assert!(cut.starts_with("6: ") || cut.starts_with("7: "), "{cut}");
        assert!(
            error(&format!("{service}---\napiVersion: v1\nkind: List\nitems:\n- 1\n- apiVersion: v1\n")).starts_with("8: ")
        );
        assert_eq!(error("kind: Service\n"), "1: apiVersion is missing; write that of the object, such as v1");
        assert_eq!(error("---\napiVersion: v1\nkind: Service\n"), "1: metadata.name of this Service is missing; write one");
        let old = error("apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n");
        assert_eq!(old, "1: apiVersion discovery.k8s.io/v1beta1 of EndpointSlice; write discovery.k8s.io/v1");
        let old = error("apiVersion: networking.k8s.io/v1beta1\nkind: ServiceCIDR\n");
        assert_eq!(old, "1: apiVersion networking.k8s.io/v1beta1 of ServiceCIDR; write networking.k8s.io/v1");
    }

    #[test]
    fn nulls_and_defaults() {
        let text = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a, labels: null, creationTimestamp: null}\n\
                    addressType: IPv4\nports:\n- port: 8080\nendpoints: null\n";
        let Object::EndpointSlice(slice) = &yaml(text).unwrap()[0].object else { panic!() };
        assert_eq!((slice.ports[0].name.as_deref(), slice.ports[0].port), (Some(""), Some(8080)));
    }
}

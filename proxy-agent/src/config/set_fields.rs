//! Which fields of a kube-proxy configuration are set to something.

use serde_json::Value;

/// Fields that are acted on here, or that say what the file is.
const ACTED_ON: [&str; 11] = [
    "apiVersion",
    "kind",
    "clientConnection.kubeconfig",
    "hostnameOverride",
    "clusterCIDR",
    "nodePortAddresses",
    "healthzBindAddress",
    "metricsBindAddress",
    "mode",
    // Named in the warning by `resolve` when they ask for more than there is.
    "detectLocalMode",
    "bindAddress",
];

/// The paths of all fields that are set and not acted on, in alphabetical order.
pub fn without_effect(file: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(String::new(), file, &mut found);
    found
}

fn collect(path: String, value: &Value, found: &mut Vec<String>) {
    if ACTED_ON.contains(&path.as_str()) || is_unset(value) {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                collect(format!("{path}{dot}{name}"), field, found);
            }
        }
        _ => found.push(path),
    }
}

fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => matches!(text.as_str(), "" | "0" | "0s"),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

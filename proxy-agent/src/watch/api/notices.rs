//! Sending Events. An Event that can't be sent is said in the log and given up: it is a courtesy, and its cause stands in the log.

use super::access::{Access, chain};
use super::backoff::Backoff;
use crate::watch::{About, Gravity, Notice};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use tokio::sync::mpsc;

/// Who says it.
const REPORTER: &str = "sluice.dev/agent";
/// Where Events about nodes stand, which have no namespace.
const NODES_NAMESPACE: &str = "default";
const TRIES: usize = 5;

/// Sends notices as they come, until nobody says any more.
pub async fn send(access: Access, node: String, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let event = event(&notice, &node, Timestamp::now());
        if let Err(error) = try_send(&access, &event).await {
            tracing::warn!(about = %notice.about, reason = notice.reason, "the Event can't be sent: {error}");
        }
    }
}

/// A client is made for each Event: they are rare, and credentials are renewed meanwhile.
async fn try_send(access: &Access, event: &Event) -> Result<(), String> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or(NODES_NAMESPACE);
    let mut backoff = Backoff::default();
    let mut error = String::new();
    for _ in 0..TRIES {
        match access.client().await {
            Ok(client) => {
                let api = kube::Api::<Event>::namespaced(client, namespace);
                match api.create(&PostParams::default(), event).await {
                    Ok(_) => return Ok(()),
                    // Rights and a namespace do not come by waiting.
                    Err(kube::Error::Api(status)) if (400..429).contains(&status.code) => return Err(status.message.clone()),
                    Err(failure) => error = chain(&failure),
                }
            }
            Err(trouble) => error = trouble.to_string(),
        }
        tokio::time::sleep(backoff.next()).await;
    }
    Err(error)
}

fn event(notice: &Notice, node: &str, now: Timestamp) -> Event {
    let regarding = regarding(&notice.about, node);
    let name = regarding.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(regarding.namespace.clone().unwrap_or_else(|| NODES_NAMESPACE.into())),
            ..ObjectMeta::default()
        },
        action: Some(notice.action.into()),
        event_time: Some(MicroTime(now)),
        note: Some(notice.message.clone()),
        reason: Some(notice.reason.into()),
        regarding: Some(regarding),
        reporting_controller: Some(REPORTER.into()),
        reporting_instance: Some(node.into()),
        type_: Some(if notice.gravity == Gravity::Normal { "Normal" } else { "Warning" }.into()),
        ..Event::default()
    }
}

/// As kube-proxy has it, a node's name stands for its uid: `kubectl describe node` looks for that.
fn regarding(about: &About, node: &str) -> ObjectReference {
    let (kind, namespace, name, uid) = match about {
        About::Node => ("Node", None, node.into(), Some(node.into())),
        About::Service(service) => ("Service", Some(service.namespace.to_string()), service.name.to_string(), None),
    };
    let (api_version, kind, name) = (Some("v1".into()), Some(kind.into()), Some(name));
    ObjectReference { api_version, kind, namespace, name, uid, ..ObjectReference::default() }
}

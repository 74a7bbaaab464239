//! Sending Events. An Event that can't be sent is said in the log and given up: it is a courtesy, and its cause stands in the log.

use super::access::{Access, chain};
use super::backoff::Backoff;
use crate::watch::Notice;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use tokio::sync::mpsc;

/// Who says it.
const REPORTER: &str = "sluice.dev/agent";
const TRIES: usize = 5;

/// Sends notices as they come, until nobody says any more.
pub async fn send(access: Access, node: String, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let event = event(&notice, &node, Timestamp::now());
        if let Err(error) = try_send(&access, &notice.service.namespace, &event).await {
            tracing::warn!(service = %notice.service, reason = notice.reason, "the Event can't be sent: {error}");
        }
    }
}

/// A client is made for each Event: they are rare, and credentials are renewed meanwhile.
async fn try_send(access: &Access, namespace: &str, event: &Event) -> Result<(), String> {
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
    let (namespace, name) = (notice.service.namespace.to_string(), notice.service.name.to_string());
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        action: Some(notice.action.into()),
        event_time: Some(MicroTime(now)),
        note: Some(notice.message.clone()),
        reason: Some(notice.reason.into()),
        regarding: Some(ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Service".into()),
            namespace: Some(namespace),
            name: Some(name),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(REPORTER.into()),
        reporting_instance: Some(node.into()),
        type_: Some("Warning".into()),
        ..Event::default()
    }
}

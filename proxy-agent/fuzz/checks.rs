//! What must hold of any input, for the fuzz targets and for the test that replays their corpus.

use proxy_agent::config::RunArgs;
use proxy_agent::control::Control;
use proxy_agent::watch::Event;
use proxy_agent::watch::files::parse;
use proxy_agent::watch::objects::Kind;
use std::path::Path;
use std::time::Instant;

/// A manifest file never stops the agent, and its objects leave nothing when they are gone.
pub fn manifests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(found) = parse::yaml(text) else { return };
    let (mut control, now) = (Control::new("node-1"), Instant::now());
    let names: Vec<_> = found.iter().map(|defined| (defined.object.kind(), defined.object.name())).collect();
    for defined in found {
        control.on_event(defined.object.into(), now);
    }
    for kind in Kind::ALL {
        control.on_event(Event::Synced(kind), now);
    }
    control.take_changes();
    control.rejections().iter().for_each(|rejection| drop(rejection.to_string()));
    for (kind, name) in names {
        control.on_event(Event::Delete(kind, name), now);
    }
    control.take_changes();
    assert_eq!(control.table().count(), 0);
    assert!(control.health_checks().all().next().is_none() && control.rejections().is_empty());
}

/// A configuration is refused in words, or means what `/configz` says of it.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let load = |text: &str| RunArgs::default().load_text(Path::new("config.yaml"), text, "node-1");
    match load(text) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(loaded) => {
            let said: serde_json::Value = serde_json::from_str(&loaded.effective.json()).expect("JSON");
            let documents = [&said["kubeproxy.config.k8s.io"], &said["sluice.dev"]].map(ToString::to_string);
            let again = load(&documents.join("\n---\n")).expect("what is in force is accepted");
            assert_eq!(again.effective.json(), loaded.effective.json());
        }
    }
}

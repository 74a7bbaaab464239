//! Servers that can't be reached, say no or say nothing; credentials.

use super::rig::{ALL, Rig};
use crate::watch::Source;
use crate::watch::api::{Access, Api};
use crate::watch::objects::Kind;
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::test]
async fn without_rights_the_message_says_so_and_others_go_on() {
    let mut rig = Rig::new(|server| server.refuse = Some(403)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.troubles.len() == 1 && rig.synced.len() == ALL - 1).await;
    assert!(
        rig.trouble().starts_with("no rights to list and watch services: because; give the agent's user"),
        "{}",
        rig.trouble()
    );
    rig.tell(|server| {
        server.refuse = None;
        server.set("a", 1);
    });
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
    rig.serving.take().unwrap().abort();
    rig.tell(|server| {
        server.watchers.clear();
        server.refuse = Some(503);
    });
    rig.until(|rig| rig.troubles.contains_key("watch of Services")).await;
    assert_eq!(rig.in_force(), [("a", 1)], "what was programmed stays");
    rig.tell(|server| server.refuse = None);
    rig.serve();
    rig.until(|rig| rig.troubles.is_empty()).await;
    rig.until(|rig| !rig.server.lock().unwrap().watchers.is_empty()).await;
    rig.tell(|server| server.set("a", 2));
    rig.until(|rig| rig.in_force() == [("a", 2)]).await;
    assert_eq!(rig.synced[&Kind::Service], 1, "resumed, not listed again");
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers() {
    let mut rig = Rig::new(|server| server.silent = true).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.troubles.contains_key("watch of Services") && rig.synced.len() == ALL - 1).await;
    assert!(rig.trouble().contains("has brought nothing for 4s"), "{}", rig.trouble());
    rig.tell(|server| {
        server.silent = false;
        server.set("a", 1);
    });
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn half_a_list_is_no_recovery() {
    let mut rig = Rig::new(|server| server.torn = Some(500)).await;
    rig.kubeconfig("one");
    rig.until(|rig| !rig.troubles.contains_key("Kubernetes API") && rig.synced.len() == ALL - 1).await;
    let before = rig.recovered;
    rig.until(|rig| rig.server.lock().unwrap().tears >= 5).await;
    assert_eq!(rig.recovered, before, "the next try waits longer");
    rig.tell(|server| {
        server.torn = None;
        server.set("a", 1);
    });
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn renewed_credentials_are_read_afresh() {
    let mut rig = Rig::new(|server| server.token = "two").await;
    rig.kubeconfig("one");
    rig.until(|rig| !rig.troubles.is_empty() && !rig.troubles.contains_key("Kubernetes API")).await;
    assert!(rig.trouble().starts_with("the API server refuses our credentials for "), "{}", rig.trouble());
    rig.kubeconfig("two");
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_yet() {
    let mut rig = Rig::new(|_| {}).await;
    rig.until(|rig| rig.troubles.contains_key("Kubernetes API")).await;
    assert!(rig.trouble().contains("name another one with --kubeconfig"), "{}", rig.trouble());
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn the_task_ends_when_nobody_listens() {
    let rig = Rig::new(|_| {}).await;
    let (sender, receiver) = mpsc::channel(16);
    let task = tokio::spawn(Api::new(Access::Kubeconfig(rig.dir.path().join("none")), "n".into()).follow(sender));
    drop(receiver);
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_token_file_that_was_written_anew_is_read_at_once_after_401() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    let token = rig.dir.path().join("token");
    std::fs::write(&token, "one").unwrap();
    rig.kubeconfig_of_user(&format!("tokenFile: {}", token.display()));
    rig.until(|rig| rig.synced.len() == ALL && rig.ask(|server| !server.watchers.is_empty())).await;
    std::fs::write(&token, "two").unwrap();
    let start = std::time::Instant::now();
    rig.tell(|server| {
        server.token = "two";
        server.watchers.clear();
    });
    rig.until(|rig| rig.ask(|server| !server.watchers.is_empty())).await;
    assert!(start.elapsed() < Duration::from_secs(3), "kube itself reads it once a minute");
    rig.tell(|server| server.set("b", 1));
    rig.until(|rig| rig.in_force() == [("a", 1), ("b", 1)] && rig.troubles.is_empty()).await;
    assert_eq!(rig.synced[&Kind::Service], 1, "other credentials are no reason to list again");
}

#[tokio::test]
async fn a_credential_plugin_is_run_again_after_401() {
    let mut rig = Rig::new(|_| {}).await;
    let plugin = rig.dir.path().join("plugin");
    let say = |token: &str| {
        let status = format!("{{\"token\": \"{token}\"}}");
        let head = "\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\"";
        std::fs::write(&plugin, format!("echo '{{{head}, \"status\": {status}}}'\n")).unwrap();
    };
    say("old");
    rig.kubeconfig_of_user(&format!(
        "exec: {{apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never, args: [{}]}}",
        plugin.display()
    ));
    rig.until(|rig| rig.trouble().starts_with("the API server refuses our credentials")).await;
    say("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn what_is_answered_with_503_is_said_at_once() {
    let mut rig = Rig::new(|server| server.refuse = Some(503)).await;
    rig.kubeconfig("one");
    let start = std::time::Instant::now();
    rig.until(|rig| rig.troubles.contains_key("watch of Services")).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(rig.trouble().starts_with("the API server can't serve services"), "{}", rig.trouble());
}

#[tokio::test]
async fn a_server_that_moved_is_found_in_the_kubeconfig() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    rig.kubeconfig_at("127.0.0.1:1", "token: one");
    rig.until(|rig| rig.troubles.len() >= ALL - 1).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

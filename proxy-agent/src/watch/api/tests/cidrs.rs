//! ServiceCIDRs, which not every API server has, and which can be done without.

use super::rig::{ALL, Rig};
use super::server::Streams;
use crate::watch::Listing;
use crate::watch::objects::Kind;
use std::time::Duration;

#[tokio::test]
async fn s26_service_cidrs_are_followed() {
    for streams in [Streams::Refused, Streams::Served] {
        let mut rig = Rig::new(|server| {
            server.streams = streams;
            server.set_cidr("kubernetes", "10.96.0.0/16");
        })
        .await;
        rig.kubeconfig("one");
        rig.until(|rig| rig.synced.len() == ALL && rig.ask(|server| !server.cidr_watchers.is_empty())).await;
        assert_eq!(rig.cidrs["kubernetes"], "10.96.0.0/16");
        rig.tell(|server| server.set_cidr("more", "10.97.0.0/16"));
        rig.until(|rig| rig.cidrs.len() == 2).await;
    }
}

#[tokio::test]
async fn s26_an_api_without_service_cidrs_is_no_trouble() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && !rig.troubles.contains_key("Kubernetes API")).await;
    assert_eq!(rig.listings[&Kind::ServiceCidr], Listing::Absent);
    rig.during(Duration::from_secs(1)).await;
    assert!(rig.troubles.is_empty(), "{:?}", rig.troubles);
    let asked = rig.ask(|server| server.asked.iter().filter(|asked| asked.contains("servicecidrs")).count());
    assert_eq!(asked, 1, "nobody asks again soon");
}

#[tokio::test]
async fn s26_without_rights_for_service_cidrs_all_else_goes_on() {
    let mut rig = Rig::new(|server| {
        server.refuse_cidrs = Some(403);
        server.set("a", 1);
    })
    .await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL - 1 && rig.troubles.len() == 1).await;
    assert!(rig.trouble().starts_with("no rights to list and watch servicecidrs: because"), "{}", rig.trouble());
    rig.until(|rig| rig.ask(|server| !server.watchers.is_empty())).await;
    rig.tell(|server| server.set("a", 2));
    rig.until(|rig| rig.in_force() == [("a", 2)]).await;
    assert_eq!(rig.synced.get(&Kind::ServiceCidr), None, "what is in force stays");
}

#[tokio::test]
async fn s26_a_server_that_does_not_know_rights_yet_is_asked_again_soon() {
    let mut rig = Rig::new(|server| server.set_cidr("kubernetes", "10.96.0.0/16")).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.ask(|server| !server.cidr_watchers.is_empty())).await;
    rig.tell(|server| {
        server.refuse_cidrs = Some(403);
        server.cidr_watchers.clear();
    });
    rig.until(|rig| rig.trouble().starts_with("no rights to list and watch servicecidrs")).await;
    rig.tell(|server| server.refuse_cidrs = None);
    rig.until(|rig| rig.troubles.is_empty() && rig.ask(|server| !server.cidr_watchers.is_empty())).await;
    rig.tell(|server| server.set_cidr("more", "10.97.0.0/16"));
    rig.until(|rig| rig.cidrs.len() == 2).await;
}

#[tokio::test]
async fn s26_what_one_api_server_has_stays_when_another_lacks_the_kind() {
    let mut rig = Rig::new(|server| server.set_cidr("kubernetes", "10.96.0.0/16")).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.ask(|server| !server.cidr_watchers.is_empty())).await;
    rig.tell(|server| {
        server.cidrs = None;
        server.cidr_watchers.clear();
    });
    rig.until(|rig| rig.listings[&Kind::ServiceCidr] == Listing::Absent).await;
    assert_eq!((rig.cidrs.len(), rig.synced[&Kind::ServiceCidr]), (1, 1));
}

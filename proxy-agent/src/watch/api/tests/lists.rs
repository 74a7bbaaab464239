//! Lists and the watches that follow them.

use super::rig::{ALL, Rig};
use super::server::Streams;
use crate::watch::Listing;
use crate::watch::objects::Kind;
use std::time::Duration;

#[tokio::test]
async fn lists_then_watches_with_the_selectors_of_s1() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == ALL && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
    rig.until(|rig| !rig.server.lock().unwrap().watchers.is_empty()).await;
    rig.tell(|server| server.set("b", 1));
    rig.until(|rig| rig.in_force() == [("a", 1), ("b", 1)]).await;
    rig.tell(|server| server.delete("a"));
    rig.until(|rig| rig.in_force() == [("b", 1)]).await;
    let asked: Vec<_> = rig.server.lock().unwrap().asked.iter().cloned().collect();
    for part in [
        "/api/v1/services?&labelSelector=%21service.kubernetes.io%2Fservice-proxy-name",
        "/apis/discovery.k8s.io/v1/endpointslices?&labelSelector=%21service.kubernetes.io%2Fheadless",
        "/api/v1/nodes?&fieldSelector=metadata.name%3Dnode-1",
        "/apis/networking.k8s.io/v1/servicecidrs?",
    ] {
        assert!(asked.iter().any(|asked| asked.starts_with(part)), "{part} in {asked:#?}");
    }
}

#[tokio::test]
async fn after_410_what_vanished_is_deleted_and_nothing_before() {
    let mut rig = Rig::new(|server| ["a", "b"].into_iter().for_each(|name| server.set(name, 1))).await;
    rig.kubeconfig("one");
    rig.until(watched).await;
    rig.tell(|server| {
        server.torn = Some(500);
        server.end_watches(410, "Expired");
        server.delete("a");
        server.set("c", 1);
    });
    rig.until(|rig| !rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1), ("b", 1)]);
    rig.tell(|server| server.torn = None);
    rig.until(|rig| rig.synced[&Kind::Service] == 2 && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("b", 1), ("c", 1)]);
}

/// How a server says that it has forgotten what came after a version.
#[derive(Clone, Copy, Debug)]
enum Forgets {
    /// With the status of its answer.
    Answering,
    /// With an event of a watch that it serves.
    Streaming,
}

#[tokio::test]
async fn a_version_that_the_server_has_forgotten_is_no_trouble() {
    for (streams, forgets) in [
        (Streams::Refused, Forgets::Answering),
        (Streams::Refused, Forgets::Streaming),
        (Streams::Served, Forgets::Answering),
        (Streams::Served, Forgets::Streaming),
    ] {
        let mut rig = rig(streams).await;
        rig.until(watched).await;
        rig.tell(|server| {
            match forgets {
                Forgets::Answering => {
                    server.expired = 1;
                    server.watchers.clear();
                }
                Forgets::Streaming => server.end_watches(410, "Expired"),
            }
            server.delete("a");
            server.set("c", 1);
        });
        rig.until(|rig| rig.synced[&Kind::Service] == 2).await;
        assert_eq!(rig.in_force(), [("b", 1), ("c", 1)], "{forgets:?}: the difference takes effect");
        assert_eq!(rig.listings[&Kind::Service] == Listing::Streamed, streams == Streams::Served);
        rig.until(watched).await;
        rig.tell(|server| server.set("b", 2));
        rig.until(|rig| rig.in_force() == [("b", 2), ("c", 1)]).await;
        assert_eq!(rig.complaints, [""; 0], "{forgets:?}");
    }
}

#[tokio::test]
async fn a_server_that_forgets_its_own_lists_again_and_again_is_a_trouble() {
    let mut rig = Rig::new(|server| {
        server.expired = usize::MAX;
        server.set("a", 1);
    })
    .await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.troubles.contains_key("watch of Services")).await;
    assert!(rig.trouble().starts_with("the API server can't serve services"), "{}", rig.trouble());
    assert_eq!(rig.ask(|server| server.resumed), 8, "so often is no accident");
    assert_eq!(rig.in_force(), [("a", 1)]);
    rig.tell(|server| server.expired = 0);
    rig.until(watched).await;
}

#[tokio::test]
async fn a_list_that_is_answered_with_410_is_a_trouble() {
    let mut rig = Rig::new(|server| server.refuse = Some(410)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.troubles.contains_key("watch of Services")).await;
    rig.tell(|server| server.refuse = None);
    rig.until(watched).await;
}

/// A rig whose server does this with streamed lists, and has the Services a and b.
async fn rig(streams: Streams) -> Rig {
    let rig = Rig::new(|server| {
        server.streams = streams;
        ["a", "b"].into_iter().for_each(|name| server.set(name, 1));
    });
    let rig = rig.await;
    rig.kubeconfig("one");
    rig
}

fn watched(rig: &Rig) -> bool {
    rig.synced.len() == ALL && rig.troubles.is_empty() && rig.ask(|server| !server.watchers.is_empty())
}

#[tokio::test]
async fn a_list_is_streamed_where_the_server_does_that() {
    let mut rig = rig(Streams::Served).await;
    rig.until(watched).await;
    assert_eq!(rig.in_force(), [("a", 1), ("b", 1)], "what went before the end of the list is gone");
    assert_eq!(rig.listings[&Kind::Service], Listing::Streamed);
    assert_eq!(rig.ask(|server| (server.streamed, server.resumed)), (1, 0), "list and watch are one request");
    rig.tell(|server| server.set("a", 2));
    rig.until(|rig| rig.in_force() == [("a", 2), ("b", 1)]).await;
    rig.tell(|server| server.delete("b"));
    rig.until(|rig| rig.in_force() == [("a", 2)]).await;
    assert_eq!(rig.synced[&Kind::Service], 1);
}

#[tokio::test]
async fn a_server_that_refuses_to_stream_is_asked_for_pages_without_a_word() {
    for streams in [Streams::Refused, Streams::Failed] {
        let mut rig = rig(streams).await;
        rig.kubeconfig("one");
        rig.until(watched).await;
        assert_eq!(rig.in_force(), [("a", 1), ("b", 1)]);
        assert_eq!(rig.listings[&Kind::Service], Listing::Paged);
        rig.tell(|server| server.end_watches(410, "Expired"));
        rig.until(|rig| rig.synced[&Kind::Service] == 2 && rig.troubles.is_empty()).await;
        assert_eq!(rig.ask(|server| server.streamed), 1, "it is not asked again");
        assert_eq!(rig.complaints, [""; 0], "refusing to stream is no trouble");
    }
}

#[tokio::test]
async fn a_streamed_list_that_never_ends_is_asked_for_in_pages() {
    let mut rig = rig(Streams::Endless).await;
    rig.until(|rig| rig.troubles.contains_key("watch of Services")).await;
    assert_eq!(rig.synced.get(&Kind::Service), None, "S11");
    rig.until(|rig| rig.synced.contains_key(&Kind::Service)).await;
    assert_eq!((rig.in_force(), rig.listings[&Kind::Service]), (vec![("a", 1), ("b", 1)], Listing::Paged));
}

#[tokio::test]
async fn a_streamed_list_that_is_cut_off_takes_nothing_away() {
    let mut rig = rig(Streams::Served).await;
    rig.until(watched).await;
    rig.tell(|server| {
        server.streams = Streams::Torn;
        server.torn = Some(500);
        server.end_watches(410, "Expired");
        server.delete("b");
    });
    rig.until(|rig| rig.ask(|server| server.tears) > 1).await;
    assert_eq!(rig.ask(|server| server.streamed), 1 + 2, "after two of them, pages are asked for");
    assert_eq!(rig.in_force(), [("a", 1), ("b", 1)], "what was programmed stays");
    rig.tell(|server| server.torn = None);
    rig.until(|rig| rig.in_force() == [("a", 1)] && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn a_list_whose_next_page_is_forgotten_is_made_in_one_piece() {
    let mut rig = Rig::new(|server| {
        server.torn = Some(410);
        ["a", "b"].into_iter().for_each(|name| server.set(name, 1));
    })
    .await;
    rig.kubeconfig("one");
    rig.until(watched).await;
    assert_eq!(rig.in_force(), [("a", 1), ("b", 1)]);
    assert_eq!(rig.ask(|server| server.tears), 1);
}

#[tokio::test]
async fn a_bookmark_moves_the_place_where_a_watch_goes_on() {
    let mut rig = rig(Streams::Served).await;
    rig.until(watched).await;
    rig.tell(|server| {
        let object = serde_json::json!({"kind": "Service", "apiVersion": "v1", "metadata": {"resourceVersion": "4711"}});
        server.tell(&serde_json::json!({"type": "BOOKMARK", "object": object}));
        server.watchers.clear();
    });
    let from = |server: &super::server::Server| server.asked.iter().any(|asked| asked.ends_with("&resourceVersion=4711"));
    rig.until(|rig| rig.ask(from)).await;
    assert_eq!(rig.synced[&Kind::Service], 1);
}

#[tokio::test]
async fn a_watch_without_a_word_is_taken_up_on_another_connection() {
    let mut rig = Rig::with_quiet(Duration::from_secs(1), |server| server.set("a", 1)).await;
    rig.kubeconfig("one");
    rig.until(watched).await;
    rig.until(|rig| rig.ask(|server| server.resumed) >= 3).await;
    assert_eq!((rig.recovered <= 1, rig.synced[&Kind::Service]), (true, 1), "that is no trouble");
    rig.tell(|server| server.silent = true);
    rig.until(|rig| rig.troubles.contains_key("watch of Services")).await;
    assert!(rig.trouble().contains("no answer for 2s"), "{}", rig.trouble());
    assert_eq!(rig.in_force(), [("a", 1)]);
    rig.tell(|server| server.silent = false);
    rig.until(watched).await;
}

//! The API body against an HTTP server that does what it is told.

use super::{Access, Api};
use crate::watch::objects::{Kind, Object};
use crate::watch::{Event, Source};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

/// For a page of a list.
const PATIENCE: Duration = Duration::from_secs(4);

/// What the server has and how it answers.
#[derive(Default)]
struct Server {
    services: BTreeMap<String, u16>,
    version: u64,
    token: &'static str,
    /// The status of every answer about Services, if not 200.
    refuse: Option<u16>,
    /// Whether requests about Services get no answer.
    silent: bool,
    /// Whether lists of Services have a second page, which fails.
    torn: bool,
    /// How often a first page was torn.
    tears: usize,
    watchers: Vec<mpsc::UnboundedSender<Value>>,
    asked: BTreeSet<String>,
}

type Shared = Arc<Mutex<Server>>;

impl Server {
    fn set(&mut self, name: &str, port: u16) {
        self.version += 1;
        self.services.insert(name.into(), port);
        let event = json!({"type": "MODIFIED", "object": service(name, port, self.version)});
        self.tell(&event);
    }

    fn delete(&mut self, name: &str) {
        self.version += 1;
        let port = self.services.remove(name).unwrap();
        let event = json!({"type": "DELETED", "object": service(name, port, self.version)});
        self.tell(&event);
    }

    fn tell(&mut self, event: &Value) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    fn answer(&mut self, path: &str, query: &str, token: &str) -> Response {
        self.asked.insert(format!("{path}?{query}"));
        let ours = path == "/api/v1/services";
        if token != format!("Bearer {}", self.token) {
            status(401)
        } else if let Some(code) = self.refuse.filter(|_| ours) {
            status(code)
        } else if query.contains("watch=true") {
            let (sender, receiver) = mpsc::unbounded_channel();
            if ours && !query.contains("metadata.name") {
                self.watchers.push(sender);
            } else if !query.contains("timeoutSeconds=1&") {
                std::mem::forget(sender);
            }
            stream(receiver)
        } else if self.torn && ours {
            if query.contains("continue=") {
                return status(500);
            }
            self.tears += 1;
            let metadata = json!({"resourceVersion": "1", "continue": "more"});
            let items = [service("a", 1, 1)];
            axum::Json(json!({"kind": "ServiceList", "apiVersion": "v1", "metadata": metadata, "items": items})).into_response()
        } else {
            let items: Vec<_> = self.services.iter().filter(|_| ours).map(|(name, port)| service(name, *port, 1)).collect();
            let kind = if ours { "ServiceList" } else { "List" };
            let version = self.version.max(1).to_string();
            axum::Json(json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}))
                .into_response()
        }
    }
}

fn service(name: &str, port: u16, version: u64) -> Value {
    let meta = json!({"name": name, "namespace": "default", "resourceVersion": version.to_string(), "managedFields": [{"manager": "x"}]});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]}})
}

fn status(code: u16) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "because", "reason": "Told", "code": code});
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

fn stream(receiver: mpsc::UnboundedReceiver<Value>) -> Response {
    let lines = futures::stream::unfold(receiver, async |mut receiver| {
        let line = format!("{}\n", receiver.recv().await?);
        Some((Ok::<_, Infallible>(line), receiver))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

async fn handle(State(server): State<Shared>, request: Request) -> Response {
    let token = request.headers().get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned();
    let uri = request.uri().clone();
    let silent = server.lock().unwrap().silent && uri.path() == "/api/v1/services";
    if silent {
        return std::future::pending().await;
    }
    server.lock().unwrap().answer(uri.path(), uri.query().unwrap_or(""), &token)
}

/// A bound socket that may share its port with others of its kind.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

/// A server, the API body that follows it, and the ports of the Services that are in force.
struct Rig {
    dir: tempfile::TempDir,
    server: Shared,
    /// Bound and never listening: it refuses while nobody serves, and keeps the port from others.
    reserved: TcpSocket,
    serving: Option<tokio::task::JoinHandle<()>>,
    events: mpsc::Receiver<Vec<Event>>,
    ports: BTreeMap<String, i64>,
    troubles: BTreeMap<String, String>,
    synced: BTreeMap<Kind, usize>,
    recovered: usize,
}

impl Rig {
    async fn new(prepare: impl FnOnce(&mut Server)) -> Self {
        let mut server = Server { token: "one", ..Server::default() };
        prepare(&mut server);
        let dir = tempfile::tempdir().unwrap();
        let (sender, events) = mpsc::channel(16);
        let api = Api::new(Access::Kubeconfig(dir.path().join("config")), "node-1".into());
        tokio::spawn(api.with_patience(PATIENCE).follow(sender));
        let mut rig = Self {
            dir,
            server: Arc::new(Mutex::new(server)),
            reserved: socket(([127, 0, 0, 1], 0).into()),
            serving: None,
            events,
            ports: BTreeMap::new(),
            troubles: BTreeMap::new(),
            synced: BTreeMap::new(),
            recovered: 0,
        };
        rig.serve();
        rig
    }

    fn serve(&mut self) {
        let listener = socket(self.address()).listen(64).unwrap();
        let app = Router::new().fallback(handle).with_state(self.server.clone());
        self.serving = Some(tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }));
    }

    fn address(&self) -> SocketAddr {
        self.reserved.local_addr().unwrap()
    }

    fn kubeconfig(&self, token: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}]\nusers: [{{name: u, user: {{token: {token}}}}}]\n",
            self.address()
        );
        std::fs::write(self.dir.path().join("config"), text).unwrap();
    }

    fn tell(&self, what: impl FnOnce(&mut Server)) {
        what(&mut self.server.lock().unwrap());
    }

    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?} {:?} {:?}", self.ports, self.troubles, self.synced);
            if let Ok(batch) = tokio::time::timeout(Duration::from_millis(10), self.events.recv()).await {
                batch.unwrap().into_iter().for_each(|event| self.take(event));
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Apply(object) => {
                let Object::Service(service) = *object else { panic!("{object:?}") };
                assert_eq!(service.metadata.managed_fields, None);
                self.ports.insert(service.metadata.name.unwrap(), service.spec.ports[0].port);
            }
            Event::Delete(_, name) => assert!(self.ports.remove(&*name.name).is_some(), "{name} is deleted once"),
            Event::Synced(kind) => *self.synced.entry(kind).or_default() += 1,
            Event::Trouble(subject, trouble) => drop(self.troubles.insert(subject.to_string(), trouble.to_string())),
            Event::Recovered(subject) => {
                self.recovered += 1;
                assert!(self.troubles.remove(&subject.to_string()).is_some(), "{subject} recovers once")
            }
        }
    }

    fn in_force(&self) -> Vec<(&str, i64)> {
        self.ports.iter().map(|(name, port)| (name.as_str(), *port)).collect()
    }

    fn trouble(&self) -> &str {
        self.troubles.values().next().map_or("", String::as_str)
    }
}

#[tokio::test]
async fn lists_then_watches_with_the_selectors_of_s1() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
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
    ] {
        assert!(asked.iter().any(|asked| asked.starts_with(part)), "{part} in {asked:#?}");
    }
}

#[tokio::test]
async fn after_410_what_vanished_is_deleted_and_nothing_before() {
    let mut rig = Rig::new(|server| ["a", "b"].into_iter().for_each(|name| server.set(name, 1))).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == 3 && !rig.server.lock().unwrap().watchers.is_empty()).await;
    rig.tell(|server| {
        let watchers = std::mem::take(&mut server.watchers);
        server.delete("a");
        server.set("c", 1);
        let gone =
            json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old", "reason": "Expired"}});
        watchers.iter().for_each(|watcher| watcher.send(gone.clone()).unwrap());
    });
    rig.until(|rig| !rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1), ("b", 1)]);
    rig.until(|rig| rig.synced[&Kind::Service] == 2 && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("b", 1), ("c", 1)]);
}

#[tokio::test]
async fn without_rights_the_message_says_so_and_others_go_on() {
    let mut rig = Rig::new(|server| server.refuse = Some(403)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.troubles.len() == 1 && rig.synced.len() == 2).await;
    assert!(
        rig.trouble().starts_with("no rights to list and watch services: because; give the agent's user"),
        "{}",
        rig.trouble()
    );
    rig.tell(|server| {
        server.refuse = None;
        server.set("a", 1);
    });
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back() {
    let mut rig = Rig::new(|server| server.set("a", 1)).await;
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
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
    rig.until(|rig| rig.troubles.contains_key("watch of Services") && rig.synced.len() == 2).await;
    assert!(rig.trouble().contains("has brought nothing for 4s"), "{}", rig.trouble());
    rig.tell(|server| {
        server.silent = false;
        server.set("a", 1);
    });
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn half_a_list_is_no_recovery() {
    let mut rig = Rig::new(|server| server.torn = true).await;
    rig.kubeconfig("one");
    rig.until(|rig| !rig.troubles.contains_key("Kubernetes API") && rig.synced.len() == 2).await;
    let before = rig.recovered;
    rig.until(|rig| rig.server.lock().unwrap().tears >= 5).await;
    assert_eq!(rig.recovered, before, "the next try waits longer");
    rig.tell(|server| {
        server.torn = false;
        server.set("a", 1);
    });
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
    assert_eq!(rig.in_force(), [("a", 1)]);
}

#[tokio::test]
async fn renewed_credentials_are_read_afresh() {
    let mut rig = Rig::new(|server| server.token = "two").await;
    rig.kubeconfig("one");
    rig.until(|rig| !rig.troubles.is_empty() && !rig.troubles.contains_key("Kubernetes API")).await;
    assert!(rig.trouble().starts_with("the API server refuses our credentials for "), "{}", rig.trouble());
    rig.kubeconfig("two");
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_yet() {
    let mut rig = Rig::new(|_| {}).await;
    rig.until(|rig| rig.troubles.contains_key("Kubernetes API")).await;
    assert!(rig.trouble().contains("name another one with --kubeconfig"), "{}", rig.trouble());
    rig.kubeconfig("one");
    rig.until(|rig| rig.synced.len() == 3 && rig.troubles.is_empty()).await;
}

#[tokio::test]
async fn the_task_ends_when_nobody_listens() {
    let rig = Rig::new(|_| {}).await;
    let (sender, receiver) = mpsc::channel(16);
    let task = tokio::spawn(Api::new(Access::Kubeconfig(rig.dir.path().join("none")), "n".into()).follow(sender));
    drop(receiver);
    tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
}

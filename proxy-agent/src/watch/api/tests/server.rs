//! The server.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// What becomes of streamed lists.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Streams {
    /// Refused, as by default in Kubernetes 1.33 and in all before 1.27.
    #[default]
    Refused,
    /// Refused in the stream, as over an old etcd.
    Failed,
    /// Served.
    Served,
    /// Never brought to an end, as by something that does not know them.
    Endless,
    /// Cut off after one object.
    Torn,
}

/// What the server has and how it answers.
#[derive(Default)]
pub struct Server {
    pub services: BTreeMap<String, u16>,
    /// ServiceCIDRs, if it has the kind.
    pub cidrs: Option<BTreeMap<String, String>>,
    pub version: u64,
    pub token: &'static str,
    pub streams: Streams,
    /// The status of every answer about Services, if not 200.
    pub refuse: Option<u16>,
    /// The same of ServiceCIDRs.
    pub refuse_cidrs: Option<u16>,
    /// Whether requests about Services get no answer.
    pub silent: bool,
    /// Whether lists of Services have a second page, which fails like this.
    pub torn: Option<u16>,
    /// How often a first page was torn.
    pub tears: usize,
    pub watchers: Vec<mpsc::UnboundedSender<Value>>,
    pub cidr_watchers: Vec<mpsc::UnboundedSender<Value>>,
    pub asked: BTreeSet<String>,
    /// Requests for streamed lists of Services.
    pub streamed: usize,
    /// Requests for watches of Services that go on from somewhere.
    pub resumed: usize,
    /// How many of the next of them are told that what they know is too old.
    pub expired: usize,
}

pub type Shared = Arc<Mutex<Server>>;

const SERVICES: &str = "/api/v1/services";
const CIDRS: &str = "/apis/networking.k8s.io/v1/servicecidrs";

impl Server {
    pub fn set(&mut self, name: &str, port: u16) {
        self.version += 1;
        self.services.insert(name.into(), port);
        let event = json!({"type": "MODIFIED", "object": service(name, port, self.version)});
        self.tell(&event);
    }

    pub fn delete(&mut self, name: &str) {
        self.version += 1;
        let port = self.services.remove(name).unwrap();
        let event = json!({"type": "DELETED", "object": service(name, port, self.version)});
        self.tell(&event);
    }

    pub fn set_cidr(&mut self, name: &str, prefix: &str) {
        self.version += 1;
        self.cidrs.get_or_insert_default().insert(name.into(), prefix.into());
        let event = json!({"type": "MODIFIED", "object": cidr(name, prefix, self.version)});
        self.cidr_watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    pub fn tell(&mut self, event: &Value) {
        self.watchers.retain(|watcher| watcher.send(event.clone()).is_ok());
    }

    /// Ends every watch of Services with this event.
    pub fn end_watches(&mut self, code: u16, reason: &str) {
        let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "too old", "reason": reason}});
        std::mem::take(&mut self.watchers).iter().for_each(|watcher| watcher.send(gone.clone()).unwrap());
    }

    fn answer(&mut self, path: &str, query: &str, token: &str) -> Response {
        self.asked.insert(format!("{path}?{query}"));
        let (services, cidrs) = (path == SERVICES, path == CIDRS);
        if token != format!("Bearer {}", self.token) {
            status(401)
        } else if let Some(code) = self.refuse.filter(|_| services).or(self.refuse_cidrs.filter(|_| cidrs)) {
            status(code)
        } else if cidrs && self.cidrs.is_none() {
            status(404)
        } else if query.contains("sendInitialEvents=true") {
            assert!(
                query.contains("&allowWatchBookmarks=true&")
                    && query.ends_with("&resourceVersionMatch=NotOlderThan&resourceVersion=")
            );
            self.streamed += usize::from(services);
            self.stream_list(path)
        } else if query.contains("watch=true") {
            self.resumed += usize::from(services);
            if services && self.expired > 0 {
                self.expired -= 1;
                return status(410);
            }
            stream(self.watcher(path))
        } else {
            self.list(path, query)
        }
    }

    /// A new watcher of a kind; kinds of which there is nothing are never heard of.
    fn watcher(&mut self, path: &str) -> mpsc::UnboundedReceiver<Value> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.enlist(path, sender);
        receiver
    }

    fn enlist(&mut self, path: &str, sender: mpsc::UnboundedSender<Value>) {
        match path {
            SERVICES => self.watchers.push(sender),
            CIDRS => self.cidr_watchers.push(sender),
            _ => std::mem::forget(sender),
        }
    }

    fn items(&self, path: &str) -> Vec<Value> {
        match path {
            SERVICES => self.services.iter().map(|(name, port)| service(name, *port, 1)).collect(),
            CIDRS => self.cidrs.iter().flatten().map(|(name, prefix)| cidr(name, prefix, 1)).collect(),
            _ => Vec::new(),
        }
    }

    fn list(&mut self, path: &str, query: &str) -> Response {
        let list = |metadata: Value, items: Vec<Value>| {
            axum::Json(json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items})).into_response()
        };
        let torn = self.torn.filter(|_| path == SERVICES && query.contains("limit="));
        match torn {
            Some(code) if query.contains("continue=") => status(code),
            Some(_) => {
                self.tears += 1;
                list(json!({"resourceVersion": "1", "continue": "more"}), vec![service("a", 1, 1)])
            }
            None => list(json!({"resourceVersion": self.version.max(1).to_string()}), self.items(path)),
        }
    }

    fn stream_list(&mut self, path: &str) -> Response {
        let (sender, receiver) = mpsc::unbounded_channel();
        let tell = |event: Value| sender.send(event).unwrap();
        match self.streams {
            Streams::Refused => return status(422),
            Streams::Failed => {
                tell(json!({"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError",
                    "message": "a watch stream was requested by the client but the required storage feature is disabled"}}));
                return stream(receiver);
            }
            Streams::Torn => {
                self.items(path).into_iter().take(1).for_each(|item| tell(json!({"type": "ADDED", "object": item})));
                return stream(receiver);
            }
            Streams::Served | Streams::Endless => {}
        }
        self.items(path).into_iter().for_each(|item| tell(json!({"type": "ADDED", "object": item})));
        if path == SERVICES && self.streams == Streams::Served {
            // Something that the server had not heard of when the list began.
            tell(json!({"type": "ADDED", "object": service("short-lived", 9, 1)}));
            tell(
                json!({"type": "BOOKMARK", "object": {"kind": "Service", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}}}),
            );
            tell(json!({"type": "DELETED", "object": service("short-lived", 9, 2)}));
        }
        if self.streams == Streams::Served {
            let metadata = json!({"resourceVersion": self.version.max(1).to_string(), "annotations": {"k8s.io/initial-events-end": "true"}});
            tell(json!({"type": "BOOKMARK", "object": {"kind": "Service", "apiVersion": "v1", "metadata": metadata}}));
        }
        self.enlist(path, sender);
        stream(receiver)
    }
}

fn service(name: &str, port: u16, version: u64) -> Value {
    let meta = json!({"name": name, "namespace": "default", "resourceVersion": version.to_string(), "managedFields": [{"manager": "x"}]});
    json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]}})
}

fn cidr(name: &str, prefix: &str, version: u64) -> Value {
    let meta = json!({"name": name, "resourceVersion": version.to_string()});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": meta, "spec": {"cidrs": [prefix]}})
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
    let silent = server.lock().unwrap().silent && uri.path() == SERVICES;
    if silent {
        return std::future::pending().await;
    }
    server.lock().unwrap().answer(uri.path(), uri.query().unwrap_or(""), &token)
}

/// Serves until the task is aborted; connections that are open go on.
pub fn serve(server: Shared, listener: TcpListener) -> JoinHandle<()> {
    let app = Router::new().fallback(handle).with_state(server);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
}

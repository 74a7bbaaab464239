//! A server, the API body that follows it, and what it said.

use super::server::{Server, Shared, serve};
use crate::watch::api::follow::Patience;
use crate::watch::api::{Access, Api};
use crate::watch::objects::{Kind, Object};
use crate::watch::{Batch, Event, Listing, Source, Subject};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

/// How many kinds are followed.
pub const ALL: usize = Kind::ALL.len();

const PATIENCE: Patience =
    Patience { list: Duration::from_secs(4), answer: Duration::from_secs(2), quiet: Duration::from_secs(60) };

/// The ports of the Services, and the prefixes of the ServiceCIDRs, that are in force.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub server: Shared,
    /// Bound and never listening: it refuses while nobody serves, and keeps the port from others.
    reserved: TcpSocket,
    pub serving: Option<tokio::task::JoinHandle<()>>,
    events: mpsc::Receiver<Batch>,
    pub ports: BTreeMap<String, i64>,
    pub cidrs: BTreeMap<String, String>,
    pub troubles: BTreeMap<String, String>,
    /// All that was ever said of the watch of Services.
    pub complaints: Vec<String>,
    pub synced: BTreeMap<Kind, usize>,
    pub listings: BTreeMap<Kind, Listing>,
    pub recovered: usize,
}

impl Rig {
    pub async fn new(prepare: impl FnOnce(&mut Server)) -> Self {
        Self::patient(PATIENCE, prepare).await
    }

    /// With a watch that may be without a word for so long.
    pub async fn with_quiet(quiet: Duration, prepare: impl FnOnce(&mut Server)) -> Self {
        Self::patient(Patience { quiet, ..PATIENCE }, prepare).await
    }

    async fn patient(patience: Patience, prepare: impl FnOnce(&mut Server)) -> Self {
        let mut server = Server { token: "one", ..Server::default() };
        prepare(&mut server);
        let dir = tempfile::tempdir().unwrap();
        let (sender, events) = mpsc::channel(16);
        let api = Api::new(Access::Kubeconfig(dir.path().join("config")), "node-1".into());
        tokio::spawn(api.with_patience(patience).follow(sender));
        let mut rig = Self {
            dir,
            server: Arc::new(Mutex::new(server)),
            reserved: socket(([127, 0, 0, 1], 0).into()),
            serving: None,
            events,
            ports: BTreeMap::new(),
            cidrs: BTreeMap::new(),
            troubles: BTreeMap::new(),
            complaints: Vec::new(),
            synced: BTreeMap::new(),
            listings: BTreeMap::new(),
            recovered: 0,
        };
        rig.serve();
        rig
    }

    pub fn serve(&mut self) {
        let listener = socket(self.address()).listen(64).unwrap();
        self.serving = Some(serve(self.server.clone(), listener));
    }

    fn address(&self) -> SocketAddr {
        self.reserved.local_addr().unwrap()
    }

    pub fn kubeconfig(&self, token: &str) {
        self.kubeconfig_of_user(&format!("token: {token}"));
    }

    pub fn kubeconfig_of_user(&self, user: &str) {
        self.kubeconfig_at(&self.address().to_string(), user);
    }

    pub fn kubeconfig_at(&self, server: &str, user: &str) {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
        );
        std::fs::write(self.dir.path().join("config"), text).unwrap();
    }

    pub fn tell(&self, what: impl FnOnce(&mut Server)) {
        what(&mut self.server.lock().unwrap());
    }

    pub fn ask<T>(&self, what: impl FnOnce(&Server) -> T) -> T {
        what(&self.server.lock().unwrap())
    }

    pub async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?} {:?} {:?}", self.ports, self.troubles, self.synced);
            if let Ok(batch) = tokio::time::timeout(Duration::from_millis(10), self.events.recv()).await {
                batch.unwrap().events.into_iter().for_each(|event| self.take(event));
            }
        }
    }

    /// Takes in what comes within this time.
    pub async fn during(&mut self, time: Duration) {
        let start = Instant::now();
        self.until(|_| start.elapsed() >= time).await;
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Apply(object) => self.apply(*object),
            Event::Delete(Kind::ServiceCidr, name) => {
                assert!(self.cidrs.remove(&*name.name).is_some(), "{name} is deleted once")
            }
            Event::Delete(_, name) => assert!(self.ports.remove(&*name.name).is_some(), "{name} is deleted once"),
            Event::Listed(kind, listing) => drop(self.listings.insert(kind, listing)),
            Event::Synced(kind) => *self.synced.entry(kind).or_default() += 1,
            Event::Trouble(subject, trouble) => {
                if subject == Subject::Watch(Kind::Service) {
                    self.complaints.push(trouble.to_string());
                }
                self.troubles.insert(subject.to_string(), trouble.to_string());
            }
            Event::Recovered(subject) => {
                self.recovered += 1;
                assert!(self.troubles.remove(&subject.to_string()).is_some(), "{subject} recovers once")
            }
        }
    }

    fn apply(&mut self, object: Object) {
        match object {
            Object::Service(service) => {
                assert_eq!(service.metadata.managed_fields, None);
                self.ports.insert(service.metadata.name.unwrap(), service.spec.ports[0].port);
            }
            Object::ServiceCidr(cidr) => drop(self.cidrs.insert(cidr.metadata.name.unwrap(), cidr.spec.cidrs.join(" "))),
            other => panic!("{other:?}"),
        }
    }

    pub fn in_force(&self) -> Vec<(&str, i64)> {
        self.ports.iter().map(|(name, port)| (name.as_str(), *port)).collect()
    }

    pub fn trouble(&self) -> &str {
        self.troubles.values().next().map_or("", String::as_str)
    }
}

/// A bound socket that may share its port with others of its kind.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

//! What the traffic helper can be told to do.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::net::Proto;

/// One run of the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Answers until it is killed.
    Serve(Serve),
    /// A steady rate of new connections, until stopped.
    Load(Load),
    /// Connections that stay open and carry data, until stopped.
    Held(Held),
    /// Single connections, one after the other.
    Probe(Probe),
    /// One HTTP request.
    Get(Get),
    /// One connection that echoes many bytes.
    Stream(Stream),
    /// One unconnected UDP socket that talks to several addresses at once.
    Unconnected(Unconnected),
    /// Cleans up when its parent is gone.
    Janitor {
        /// The name of the rig.
        test: String,
    },
}

/// A server. Over TCP it answers lines: `who` → `NAME PEER`, `echo N` and N bytes → the bytes, `bye` → `NAME PEER` and
/// the end, `GET …` → an HTTP page. Over UDP it answers every datagram with `NAME PEER DATAGRAM`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Serve {
    /// How it calls itself: a word without blanks.
    pub name: String,
    /// TCP addresses to listen on.
    pub tcp: Vec<SocketAddr>,
    /// UDP addresses to listen on.
    pub udp: Vec<SocketAddr>,
    /// What it answers to HTTP and to the lines of the voting app.
    pub app: App,
}

/// The parts of the demonstration's apps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum App {
    /// A page with the pod's name.
    #[default]
    Hello,
    /// Counters, as redis and the database keep them: `add KEY N` → the sum, `take KEY` → the sum, and resets it.
    Store,
    /// `GET /vote/KEY` adds one to KEY in the store.
    Vote {
        /// The Service of the store.
        store: SocketAddr,
    },
    /// `GET /` shows the counters of the store.
    Tally {
        /// The Service of the store.
        store: SocketAddr,
    },
    /// Moves the counters from one store to the other, over and over.
    Worker {
        /// The Service it takes from.
        from: SocketAddr,
        /// The Service it adds to.
        to: SocketAddr,
    },
}

/// Where a client goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// What reports call it; targets of one label are reported as one.
    pub label: String,
    /// TCP or UDP.
    pub proto: Proto,
    /// The address it dials.
    pub to: SocketAddr,
}

impl Target {
    /// A target called by its protocol and address.
    pub fn new(proto: Proto, to: SocketAddr) -> Self {
        Self { label: format!("{proto} {to}"), proto, to }
    }

    /// A target with a name.
    pub fn named(label: impl Into<String>, proto: Proto, to: SocketAddr) -> Self {
        Self { label: label.into(), proto, to }
    }
}

/// Which side closes a TCP connection first, and so keeps its TIME-WAIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Close {
    /// The client.
    #[default]
    Client,
    /// The server.
    Server,
    /// The client, with RST.
    Reset,
}

/// A load: connect, ask, close, over and over. Each request is one new connection (over UDP one new socket).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Where to; each gets the whole rate.
    pub targets: Vec<Target>,
    /// New connections a second to each target; 0 = one after the other without a pause.
    pub rate: u32,
    /// Threads for each target, so that one slow answer does not hold up the rate.
    pub workers: u32,
    /// After how long a request has failed.
    pub timeout_ms: u64,
    /// Ends by itself after that many requests to each target; 0 = when told.
    pub limit: u64,
    /// How TCP connections end.
    pub close: Close,
}

impl Load {
    /// A load with 8 workers and a time-out of 5 s, in which the kernel sends a lost SYN three times: what is lost
    /// for good fails, what was lost once shows as a latency above a second.
    pub fn new(targets: Vec<Target>, rate: u32) -> Self {
        Self { targets, rate, workers: 8, timeout_ms: 5000, limit: 0, close: Close::Client }
    }
}

/// Connections that are opened once and then carry one exchange per interval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Where to.
    pub targets: Vec<Target>,
    /// Connections to each target.
    pub count: u32,
    /// The source address and port of all of them, which then differ in their targets.
    pub bind: Option<SocketAddr>,
    /// The pause between two exchanges of one connection.
    pub interval_ms: u64,
    /// How long to wait for an answer.
    pub timeout_ms: u64,
}

/// Single connections one after the other, each reported by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Where to.
    pub target: Target,
    /// The source address and port of the first connection, each further one takes the next port; port 0 lets the kernel choose.
    pub bind: Option<SocketAddr>,
    /// How many.
    pub count: u32,
    /// Ends after the first one that fails.
    pub until_failure: bool,
    /// How long to wait for the connection and for the answer.
    pub timeout_ms: u64,
    /// How TCP connections end.
    pub close: Close,
}

impl Probe {
    /// One connection with a time-out of 2 s.
    pub fn once(proto: Proto, to: SocketAddr) -> Self {
        Self::times(proto, to, 1)
    }

    /// `count` connections with a time-out of 2 s.
    pub fn times(proto: Proto, to: SocketAddr, count: u32) -> Self {
        Self { target: Target::new(proto, to), bind: None, count, until_failure: false, timeout_ms: 2000, close: Close::Client }
    }
}

/// One HTTP request, and its page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Get {
    /// Where to.
    pub to: SocketAddr,
    /// The path, with its slash.
    pub path: String,
}

/// One TCP connection that sends bytes and compares what comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stream {
    /// Where to.
    pub to: SocketAddr,
    /// How many bytes each way.
    pub bytes: u64,
}

/// One UDP socket that sends to all targets before it reads any answer, round after round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unconnected {
    /// Where to; all of the socket's family, or any if it is `dual`.
    pub targets: Vec<SocketAddr>,
    /// An AF_INET6 socket that reaches IPv4 by mapped addresses.
    pub dual: bool,
    /// Connects the socket there first: the datagrams then carry an address that overrides it.
    pub connect: Option<SocketAddr>,
    /// How many rounds.
    pub rounds: u32,
    /// How long to wait for the answers of a round.
    pub timeout_ms: u64,
    /// The pause between two rounds.
    pub interval_ms: u64,
}

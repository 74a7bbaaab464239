//! What the agent answers of itself: health for load balancers and kubelet, metrics for the operator.

use super::health::{Answer, Health};
use super::listen::Listener;
use super::metrics::Metrics;
use crate::watch::{About, Gravity, Notice};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What `/proxyMode` answers.
pub const PROXY_MODE: &str = "sluice";

/// Answers are what their type says.
pub(super) const NOSNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// The flag that says where health is answered.
const HEALTHZ: &str = "--healthz-bind-address";
/// The flag that says where metrics are.
const METRICS: &str = "--metrics-bind-address";

const AGAIN: Duration = Duration::from_secs(1);

/// Where to listen; `None` = not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// `/healthz` and `/livez`.
    pub healthz: Option<SocketAddr>,
    /// `/metrics`, `/configz`, `/healthz` and `/proxyMode`.
    pub metrics: Option<SocketAddr>,
}

/// Where to listen, and what to do about an address that somebody else has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// The addresses.
    pub addresses: Addresses,
    /// Whether it is an error, rather than tried again until it is free.
    pub hard_fail: bool,
}

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else has the port.
    #[error(
        "cannot listen on {address}: the port is taken (`ss -ltnp` shows by whom; kube-proxy uses the same one). \
         Stop the other process or give {flag} another address"
    )]
    Taken {
        /// What was asked for.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The address is not this node's, or the port needs a right.
    #[error("cannot listen on {address}: {source}. Give {flag} an address of this node and a free port")]
    Refused {
        /// What was asked for.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ServeError {
    /// What the cluster is told, in kube-proxy's words.
    pub fn notice(&self) -> Notice {
        let (Self::Taken { flag, .. } | Self::Refused { flag, .. }) = self;
        let reason = if *flag == HEALTHZ { "FailedToStartProxierHealthcheck" } else { "FailedToStartMetricServer" };
        Notice { about: About::Node, gravity: Gravity::Warning, reason, action: "Listen", message: self.to_string() }
    }
}

/// What the listeners answer from.
#[derive(Clone)]
pub struct Facts {
    /// When the proxy counts as healthy.
    pub health: Arc<Health>,
    /// The registry.
    pub metrics: Arc<Metrics>,
    /// What `/configz` answers.
    pub configz: Arc<str>,
}

/// Where the listeners are. An address that somebody else has is tried again until it is free, as kube-proxy does it unless told
/// otherwise: while one takes over from the other, traffic matters more than health.
#[derive(Clone, Debug, Default)]
pub struct Listening(Arc<Mutex<Addresses>>);

impl Listening {
    /// The addresses they are bound to, so that port 0 works.
    pub fn addresses(&self) -> Addresses {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut Addresses)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Opens both listeners and serves them until `stop`. Says which are tried again.
pub fn start(wanted: Wanted, facts: &Facts, stop: &CancellationToken) -> Result<(Listening, Vec<ServeError>), ServeError> {
    let (listening, mut later) = (Listening::default(), Vec::new());
    let hard = wanted.hard_fail;
    if let Some(address) = wanted.addresses.healthz {
        let listening = listening.clone();
        let bound = move |at| listening.set(|addresses| addresses.healthz = Some(at));
        later.extend(open((address, HEALTHZ), hard, health_routes(facts.clone()), bound, stop)?);
    }
    if let Some(address) = wanted.addresses.metrics {
        let listening = listening.clone();
        let bound = move |at| listening.set(|addresses| addresses.metrics = Some(at));
        later.extend(open((address, METRICS), hard, metrics_routes(facts.clone()), bound, stop)?);
    }
    Ok((listening, later))
}

fn open(
    (address, flag): (SocketAddr, &'static str),
    hard_fail: bool,
    router: Router,
    bound: impl Fn(SocketAddr) + Send + 'static,
    stop: &CancellationToken,
) -> Result<Option<ServeError>, ServeError> {
    match bind(address, flag) {
        Ok(listener) => {
            listener.address().into_iter().for_each(bound);
            tokio::spawn(serve(listener, router, stop.clone()));
            Ok(None)
        }
        Err(error @ ServeError::Taken { .. }) if !hard_fail => {
            tracing::error!("{error} (trying again until it is free)");
            tokio::spawn(open_later(address, flag, router, bound, stop.clone()));
            Ok(Some(error))
        }
        Err(error) => Err(error),
    }
}

async fn open_later(
    address: SocketAddr,
    flag: &'static str,
    router: Router,
    bound: impl Fn(SocketAddr) + Send,
    stop: CancellationToken,
) {
    while stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_some() {
        if let Ok(listener) = bind(address, flag) {
            tracing::info!(%address, "listening");
            listener.address().into_iter().for_each(bound);
            return serve(listener, router, stop).await;
        }
    }
}

async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    listener.serve(router);
    stop.cancelled().await;
}

fn health_routes(facts: Facts) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/livez", get(livez)).with_state(facts)
}

fn metrics_routes(facts: Facts) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .route("/healthz", get(|| async { "ok" }))
        .route("/proxyMode", get(|| async { ([NOSNIFF], PROXY_MODE) }))
        .route("/configz", get(configz))
        .with_state(facts)
}

async fn healthz(State(facts): State<Facts>) -> Response {
    let (ok, answer) = facts.health.healthy(Instant::now(), Timestamp::now());
    let (code, response) = health_response(ok, &answer);
    facts.metrics.observe_healthz(code.as_u16());
    response
}

async fn livez(State(facts): State<Facts>) -> Response {
    let (ok, answer) = facts.health.live(Instant::now(), Timestamp::now());
    let (code, response) = health_response(ok, &answer);
    facts.metrics.observe_livez(code.as_u16());
    response
}

fn health_response(ok: bool, answer: &Answer) -> (StatusCode, Response) {
    let code = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, (code, [NOSNIFF], axum::Json(answer)).into_response())
}

async fn configz(State(facts): State<Facts>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json")), NOSNIFF], facts.configz.to_string()).into_response()
}

async fn scrape(State(facts): State<Facts>) -> Response {
    let metrics = facts.metrics.clone();
    metrics.observe_lag(facts.health.lag(Instant::now()));
    match tokio::task::spawn_blocking(move || metrics.encode()).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("metrics can't be encoded: {error}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<Listener, ServeError> {
    Listener::bind(address).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::Taken { address, flag },
        _ => ServeError::Refused { address, flag, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::health::NodeState;
    use crate::serve::listen::{CONNECTIONS, HEADER_TIMEOUT, MAX_REQUEST};
    use crate::serve::metrics::{MapReading, ReadMaps};
    use std::net::Ipv4Addr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    struct NoMaps;

    impl ReadMaps for NoMaps {
        fn read(&self) -> MapReading {
            MapReading::default()
        }
    }

    fn facts() -> Facts {
        let health = Arc::new(Health::new(Duration::from_secs(60), NodeState::Leaving));
        Facts { health, metrics: Arc::new(Metrics::new(Arc::new(NoMaps)).unwrap()), configz: "{\"a\":1}".into() }
    }

    fn anywhere() -> Wanted {
        let any = Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        at(any, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
    }

    fn at(healthz: Option<SocketAddr>, metrics: Option<SocketAddr>) -> Wanted {
        Wanted { addresses: Addresses { healthz, metrics }, hard_fail: false }
    }

    async fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn fetch(address: Option<SocketAddr>, path: &str) -> String {
        ask(address.unwrap().port(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    #[tokio::test]
    async fn every_path_answers() {
        let stop = CancellationToken::new();
        let bound = start(anywhere(), &facts(), &stop).unwrap().0.addresses();
        let healthz = fetch(bound.healthz, "/healthz").await;
        assert!(healthz.starts_with("HTTP/1.1 503 "), "{healthz}");
        assert!(healthz.contains("content-type: application/json\r\n"), "{healthz}");
        assert!(healthz.contains("x-content-type-options: nosniff\r\n"), "{healthz}");
        assert!(healthz.contains(r#""nodeEligible":false,"healthy":true"#), "{healthz}");
        assert!(fetch(bound.healthz, "/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(fetch(bound.healthz, "/metrics").await.starts_with("HTTP/1.1 404 "));
        assert!(fetch(bound.metrics, "/healthz").await.ends_with("\r\n\r\nok"));
        assert!(fetch(bound.metrics, "/proxyMode").await.ends_with("\r\n\r\nsluice"));
        let configz = fetch(bound.metrics, "/configz").await;
        assert!(configz.contains("content-type: application/json\r\n") && configz.ends_with("{\"a\":1}"), "{configz}");
        let metrics = fetch(bound.metrics, "/metrics").await;
        assert!(metrics.contains("kubeproxy_proxy_healthz_total{code=\"503\"} 1\n"), "{metrics}");
        assert!(metrics.contains("kubeproxy_proxy_livez_total{code=\"200\"} 1\n"), "{metrics}");
        stop.cancel();
    }

    #[tokio::test]
    async fn hostile_requests_end_early() {
        let stop = CancellationToken::new();
        let port = start(anywhere(), &facts(), &stop).unwrap().0.addresses().healthz.unwrap().port();
        let huge = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(2 * MAX_REQUEST));
        assert!(!ask(port, &huge).await.starts_with("HTTP/1.1 200"));
        assert!(ask(port, "POST /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 405 "));
        stop.cancel();
    }

    #[tokio::test]
    async fn slow_connections_shut_nobody_out() {
        let stop = CancellationToken::new();
        let address = start(anywhere(), &facts(), &stop).unwrap().0.addresses().healthz;
        let port = address.unwrap().port();
        let mut slow = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            slow.push(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap());
        }
        let answer = tokio::time::timeout(HEADER_TIMEOUT / 2, fetch(address, "/livez")).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(slow[0].read(&mut [0]).await.unwrap_or(0), 0, "the oldest is closed");
        stop.cancel();
    }

    #[tokio::test]
    async fn a_taken_port_is_served_once_it_is_free() {
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        let taken = start(anywhere(), &facts(), &first).unwrap().0.addresses().healthz;
        let (listening, later) = start(at(taken, None), &facts(), &second).unwrap();
        assert_eq!(later[0].notice().reason, "FailedToStartProxierHealthcheck");
        assert_eq!(listening.addresses().healthz, None);
        first.cancel();
        let served = async {
            while listening.addresses().healthz.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), served).await.expect("the port is served once it is free");
        assert!(fetch(taken, "/livez").await.starts_with("HTTP/1.1 200 "));
        second.cancel();
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error_if_asked_for() {
        let stop = CancellationToken::new();
        let taken = start(anywhere(), &facts(), &stop).unwrap().0.addresses().metrics;
        let error = start(Wanted { hard_fail: true, ..at(None, taken) }, &facts(), &stop).unwrap_err();
        assert!(matches!(error, ServeError::Taken { .. }), "{error}");
        assert_eq!(error.notice().reason, "FailedToStartMetricServer");
        stop.cancel();
    }

    #[tokio::test]
    async fn a_taken_port_says_what_to_do() {
        let stop = CancellationToken::new();
        let first = start(anywhere(), &facts(), &stop).unwrap().0.addresses();
        let error = bind(first.healthz.unwrap(), "--healthz-bind-address").unwrap_err().to_string();
        assert!(error.contains("--healthz-bind-address"), "{error}");
        let away = Some("192.0.2.1:1".parse().unwrap());
        let error = start(at(None, away), &facts(), &stop).unwrap_err().to_string();
        assert!(error.contains("address of this node"), "{error}");
        stop.cancel();
    }
}

//! Listening sockets and what answers on them.
//!
//! One request a connection, answered within a deadline, with small limits: a slow or hostile client holds a connection for
//! seconds, and never memory; many of them close each other's, never the kubelet's. A socket is closed the moment its handle is dropped, so that its port can be bound again at once.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

pub(super) const MAX_REQUEST: usize = 8192;

pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
pub(super) const CONNECTIONS: usize = 128;
const BACKLOG: u32 = 256;
const MAX_HEADERS: usize = 64;

/// A socket that listens, and what answers on it; both end when this is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<TcpListener>,
    stop: CancellationToken,
}

impl Listener {
    /// Listens at an address; 0.0.0.0 means both families, as it does for kube-proxy.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        if address.ip() != IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            return listen(address, address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
        match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port())), false) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => listen(address, true),
            dual => dual,
        }
    }

    /// Listens at an address, in its own family alone. An IPv6 address that the kernel still probes for duplicates is served from
    /// the moment that it is settled.
    pub fn bind_family(address: SocketAddr) -> io::Result<Self> {
        let socket = socket(address, true)?;
        setsockopt(&socket, sockopt::IpFreebind, &true)?;
        Self::new(socket, address)
    }

    fn new(socket: TcpSocket, address: SocketAddr) -> io::Result<Self> {
        socket.bind(address)?;
        Ok(Self { socket: Arc::new(socket.listen(BACKLOG)?), stop: CancellationToken::new() })
    }

    /// The address it is bound to, so that port 0 works.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers until the handle is dropped.
    pub fn serve(&self, router: Router) {
        tokio::spawn(accept(self.socket.clone(), router, self.stop.clone()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
        // The task that accepts holds the socket until it runs next; this frees the port right away.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}

fn listen(address: SocketAddr, only_v6: bool) -> io::Result<Listener> {
    Listener::new(socket(address, only_v6)?, address)
}

fn socket(address: SocketAddr, only_v6: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &only_v6)?;
    }
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

async fn accept(listener: Arc<TcpListener>, router: Router, stop: CancellationToken) {
    let mut open = Open::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => open.add(tokio::spawn(answer(stream, router.clone())).abort_handle()),
            // Out of file descriptors, most likely: the next try would fail at once, too.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// The connections that are open, the oldest first. When there are too many, the oldest is closed: whoever keeps many open shuts
/// nobody out.
#[derive(Default)]
struct Open(VecDeque<AbortHandle>);

impl Open {
    fn add(&mut self, connection: AbortHandle) {
        self.0.retain(|known| !known.is_finished());
        if self.0.len() >= CONNECTIONS
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(connection);
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Either the client has its answer, or it is gone or too slow: there is nobody to tell.
    tokio::time::timeout(CONNECTION_TIMEOUT, connection).await.ok();
}

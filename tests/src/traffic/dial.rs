//! One connection: socket, optional bind, connect, one question, one answer, close. IPv4 and IPv6, TCP and UDP.
//!
//! Invariant: exactly one `connect()` a request, and every failure keeps the step and the errno it came from.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::str::FromStr;
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use super::task::Close;
use crate::net::Proto;
use crate::wait::monotonic_ns;

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The server's name.
    pub by: String,
    /// The client's address as the server saw it.
    pub peer: SocketAddr,
}

impl FromStr for Answer {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let mut words = line.split_whitespace();
        let parsed = words.next().zip(words.next().and_then(|peer| peer.parse().ok()));
        let (by, peer) =
            parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("not an answer: {line:?}")))?;
        Ok(Self { by: by.to_owned(), peer })
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step: `bind`, `connect`, `send` or `answer`.
    pub step: String,
    /// What the system said: `ECONNREFUSED`, `timeout`, or the error in words.
    pub reason: String,
    /// When the request began (CLOCK_MONOTONIC, ns).
    pub start_ns: u64,
    /// How long it had been under way, in microseconds.
    pub micros: u64,
}

impl Failure {
    /// A failure at `step` of a request that began at `start_ns`.
    pub fn new(step: &str, error: &io::Error, start_ns: u64) -> Self {
        let micros = (monotonic_ns() - start_ns) / 1000;
        Self { step: step.to_owned(), reason: reason(error), start_ns, micros }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} after {} µs (began at {} ns)", self.step, self.reason, self.micros, self.start_ns)
    }
}

/// A connected socket of either protocol.
pub enum Connection {
    /// TCP.
    Tcp(TcpStream),
    /// UDP.
    Udp(UdpSocket),
}

impl Connection {
    /// Opens one, from `source` if given. The time-out holds for the connect and for each later read and write.
    pub fn open(proto: Proto, to: SocketAddr, source: Option<SocketAddr>, timeout: Duration) -> Result<Self, Failure> {
        let start = monotonic_ns();
        let at = |step: &'static str| move |errno: nix::Error| Failure::new(step, &io::Error::from(errno), start);
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let kind = if proto == Proto::Tcp { SockType::Stream } else { SockType::Datagram };
        let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC, None).map_err(at("socket"))?;
        let limit = TimeVal::milliseconds(timeout.as_millis().try_into().unwrap_or(i64::MAX));
        setsockopt(&fd, sockopt::SendTimeout, &limit).map_err(at("socket"))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &limit).map_err(at("socket"))?;
        if let Some(source) = source {
            setsockopt(&fd, sockopt::ReuseAddr, &true).map_err(at("bind"))?;
            bind(fd.as_raw_fd(), &SockaddrStorage::from(source)).map_err(at("bind"))?;
        }
        connect(fd.as_raw_fd(), &SockaddrStorage::from(to)).map_err(at("connect"))?;
        Ok(match proto {
            Proto::Tcp => Self::Tcp(fd.into()),
            Proto::Udp => Self::Udp(fd.into()),
        })
    }

    /// Asks who is there.
    pub fn ask(&mut self) -> Result<Answer, Failure> {
        self.question(if matches!(self, Self::Tcp(_)) { b"who\n" } else { b"who" })
    }

    /// Asks, and ends a TCP connection the way `close` says.
    pub fn ask_and_close(mut self, close: Close) -> Result<Answer, Failure> {
        match (&mut self, close) {
            (Self::Tcp(stream), Close::Server) => {
                let start = monotonic_ns();
                stream.write_all(b"bye\n").map_err(|error| Failure::new("send", &error, start))?;
                let mut text = String::new();
                stream
                    .read_to_string(&mut text)
                    .and_then(|_| text.parse())
                    .map_err(|error| Failure::new("answer", &error, start))
            }
            (Self::Tcp(_), Close::Reset) => {
                let answer = self.ask()?;
                self.reset();
                Ok(answer)
            }
            _ => self.ask(),
        }
    }

    fn question(&mut self, question: &[u8]) -> Result<Answer, Failure> {
        let start = monotonic_ns();
        let sent = match self {
            Self::Tcp(stream) => stream.write_all(question),
            Self::Udp(socket) => socket.send(question).map(drop),
        };
        sent.map_err(|error| Failure::new("send", &error, start))?;
        self.answer().map_err(|error| Failure::new("answer", &error, start))
    }

    fn answer(&mut self) -> io::Result<Answer> {
        match self {
            Self::Tcp(stream) => {
                let mut line = String::new();
                if BufReader::with_capacity(256, stream).read_line(&mut line)? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                line.parse()
            }
            Self::Udp(socket) => {
                let mut buffer = [0; 256];
                let length = socket.recv(&mut buffer)?;
                String::from_utf8_lossy(&buffer[..length]).parse()
            }
        }
    }

    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            // If it fails the connection ends with FIN, and the test that counts on RST sees it.
            let _ = setsockopt(stream, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 });
        }
    }

    /// `getsockname`.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Udp(socket) => socket.local_addr().ok(),
        }
    }

    /// `getpeername`.
    pub fn remote(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Udp(socket) => socket.peer_addr().ok(),
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        // What a socket with SO_SNDTIMEO or SO_RCVTIMEO says when the time is over: connect the one, read the other.
        Some(libc::EINPROGRESS | libc::EAGAIN) => "timeout".to_owned(),
        Some(number) => format!("{:?}", nix::errno::Errno::from_raw(number)),
        None => error.to_string(),
    }
}

//! The packet socket and the thread that reads it.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use super::ends::Ends;
use super::parse::{self, Fault, Seen};
use crate::net::Proto;
use crate::netns::Netns;

/// `sll_pkttype` of a frame that this host sends.
const PACKET_OUTGOING: u8 = 4;
/// `sll_hatype` of the loopback device.
const ARPHRD_LOOPBACK: u16 = 772;
/// Frames kept; what comes after is still checked and counted.
const KEPT: usize = 200_000;
/// Enough for a burst of some thousand full frames between two reads.
const BUFFER: usize = 32 << 20;

/// A capture under way.
#[derive(Debug)]
pub struct Sniffer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Capture>>>,
}

/// What a capture saw.
#[derive(Debug, Default)]
pub struct Capture {
    /// The packets, in order: received ones, and sent ones marked as such.
    pub packets: Vec<Seen>,
    /// How many received packets were checked.
    pub checked: u64,
    /// Received packets with a wrong checksum.
    pub faults: Vec<Fault>,
    /// How many packets went from whom to whom; all of them.
    ends: HashMap<Ends, u64>,
}

impl Sniffer {
    /// Starts to capture on all devices of the namespace but loopback; it is under way when this returns.
    pub fn start(netns: &Netns) -> Result<Self> {
        let socket = netns.enter(open)?.context("a packet socket: run as root")?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = thread::spawn(move || capture(&socket, &flag));
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends the capture, after what has arrived so far.
    pub fn finish(mut self) -> Result<Capture> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the capture has ended")?;
        thread.join().map_err(|_| anyhow!("the capture panicked"))?
    }
}

impl Drop for Sniffer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Capture {
    /// Fails if a checksum was wrong, or if nothing was checked at all.
    pub fn expect_sound(&self) -> Result<()> {
        if let Some(fault) = self.faults.first() {
            bail!("{} of {} packets have a wrong checksum, the first: {fault:?}", self.faults.len(), self.checked);
        }
        if self.checked == 0 {
            bail!("no packet was received, so no checksum was checked");
        }
        Ok(())
    }

    /// Received packets that satisfy `wanted`.
    pub fn received<'a>(&'a self, wanted: impl Fn(&Seen) -> bool + 'a) -> impl Iterator<Item = &'a Seen> {
        self.packets.iter().filter(move |seen| !seen.sent && wanted(seen))
    }

    /// Sent packets that satisfy `wanted`.
    pub fn sent<'a>(&'a self, wanted: impl Fn(&Seen) -> bool + 'a) -> impl Iterator<Item = &'a Seen> {
        self.packets.iter().filter(move |seen| seen.sent && wanted(seen))
    }
}

impl Capture {
    /// How many packets the host sent to this address and port.
    pub fn sent_to(&self, proto: Proto, to: SocketAddr) -> u64 {
        self.count(|ends| ends.sent && ends.is(proto) && ends.destination == to)
    }

    /// How many packets came in for this address and port.
    pub fn received_for(&self, proto: Proto, to: SocketAddr) -> u64 {
        self.count(|ends| !ends.sent && ends.is(proto) && ends.destination == to)
    }

    /// How many packets name one of these, whatever their direction; port 0 stands for all ports.
    pub fn naming(&self, addresses: &[SocketAddr]) -> u64 {
        let is_named = |end: SocketAddr| addresses.iter().any(|to| to.ip() == end.ip() && [0, end.port()].contains(&to.port()));
        self.count(|ends| is_named(ends.source) || is_named(ends.destination))
    }

    fn count(&self, wanted: impl Fn(&Ends) -> bool) -> u64 {
        self.ends.iter().filter(|(ends, _)| wanted(ends)).map(|(_, count)| count).sum()
    }
}

fn open() -> io::Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(20))?;
    Ok(socket)
}

fn capture(socket: &OwnedFd, stop: &AtomicBool) -> Result<Capture> {
    let mut capture = Capture::default();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, Some(from))) => {
                if from.hatype() != ARPHRD_LOOPBACK {
                    capture.take(&buffer[..length], from.pkttype() == PACKET_OUTGOING);
                }
            }
            Ok((_, None)) => {}
            // The time-out of the socket: nothing waits to be read.
            Err(nix::Error::EAGAIN) if stop.load(Ordering::Relaxed) => return Ok(capture),
            Err(nix::Error::EAGAIN | nix::Error::EINTR | nix::Error::ENETDOWN) => {}
            Err(errno) => return Err(errno).context("read the packet socket"),
        }
    }
}

impl Capture {
    fn take(&mut self, frame: &[u8], sent: bool) {
        let Some(mut seen) = parse::frame(frame) else { return };
        seen.sent = sent;
        if !sent {
            self.checked += 1;
            self.faults.extend(seen.fault.clone());
        }
        *self.ends.entry(Ends::of(&seen)).or_default() += 1;
        if self.packets.len() < KEPT {
            self.packets.push(seen);
        }
    }
}

//! Races: clients that work in slots of a common clock, and the servers they talk to. Each is a process in its pod's cgroup, one for
//! all lanes of a pod: two processes would differ by a percent, by where their memory lies.
//!
//! Invariant: nothing is retried; a connection that fails ends the race with an error.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use serde::{Deserialize, Serialize};
use sluice_tests::Host;

/// Where clients, servers and forwarding run; everything else keeps to CPU 0.
const CPU: &str = "1";
const REQUESTS_NS: i64 = 16_000_000;
const STREAM_NS: i64 = 64_000_000;
/// Before the end of a stream's slot: the buffers empty in it, else the next lane would pay for that.
const DRAIN_NS: i64 = 1_000_000;
/// Slots at the end of each round in which nobody works. The kernel takes a twentieth of each second from those who are ahead of
/// all else, for whoever waits: it shall not be in the middle of a slot.
const REST: usize = 1;
/// From the start of the clients to the first slot.
const LEAD_NS: i64 = 1_500_000_000;
const REQUEST: usize = 64;
const CHUNK: usize = 128 << 10;
/// Of a stream's sender and of its receiver: all that `net.core.wmem_max` and `rmem_max` allow by default. Left to themselves, buffers
/// grow differently with each connection, and what is in flight leaves the caches.
const BUFFER: usize = 208 << 10;
const STREAM: u8 = b'S';

/// What a client does in its slots.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Connects, sends a request, reads the answer, closes.
    Requests,
    /// Sends over a new connection, until all has arrived.
    Stream,
}

impl Work {
    fn slot_ns(self) -> i64 {
        match self {
            Self::Requests => REQUESTS_NS,
            Self::Stream => STREAM_NS,
        }
    }
}

/// A client and where it goes.
pub struct Lane<'a> {
    pub from: &'a Host,
    pub to: SocketAddr,
}

/// What one client does: its own lanes of a race, by their places among all.
#[derive(Serialize, Deserialize)]
struct Task {
    own: Vec<(usize, SocketAddr)>,
    lanes: usize,
    work: Work,
    start_ns: i64,
    rounds: usize,
}

impl Task {
    /// The own lanes of a round in their order, each with its slot's begin. Every other round runs backwards, so that no lane is
    /// always the one after another.
    fn slots(&self, round: usize) -> Vec<(usize, i64)> {
        let turn = |place: usize| if round.is_multiple_of(2) { place } else { self.lanes - 1 - place };
        let slot = |place: usize| round * (self.lanes + REST) + turn(place);
        let begin = |place: usize| self.start_ns + slot(place) as i64 * self.work.slot_ns();
        let mut slots: Vec<_> = self.own.iter().enumerate().map(|(index, (place, _))| (index, begin(*place))).collect();
        slots.sort_by_key(|(_, begin)| *begin);
        slots
    }
}

/// Starts a server on `ports` of a host; it ends with the rig.
pub fn serve(host: &Host, ports: &[u16]) -> Result<Child> {
    let mut command = pinned(host)?;
    command.arg("serve").args(ports.iter().map(u16::to_string)).stdout(Stdio::piped());
    let mut child = host.spawn_command(command)?;
    let mut ready = [0; 1];
    child.stdout.as_mut().context("a server without output")?.read_exact(&mut ready).context("a server did not start")?;
    Ok(child)
}

/// Lets lanes take turns and returns the rate of each in each round.
pub fn race(lanes: &[Lane<'_>], work: Work, rounds: usize) -> Result<Vec<Vec<f64>>> {
    let mut hosts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    lanes.iter().enumerate().for_each(|(place, lane)| hosts.entry(lane.from.name()).or_default().push(place));
    let start_ns = now_ns()? + LEAD_NS;
    let start = |places: &Vec<usize>| -> Result<Child> {
        let own = places.iter().map(|&place| (place, lanes[place].to)).collect();
        start_client(lanes[places[0]].from, &Task { own, lanes: lanes.len(), work, start_ns, rounds })
    };
    let children: Vec<Child> = hosts.values().map(start).collect::<Result<_>>()?;
    // All have ended before the first error is told.
    let outputs: Vec<_> = children.into_iter().map(Child::wait_with_output).collect();
    let mut rates = vec![Vec::new(); lanes.len()];
    for (places, output) in hosts.values().zip(outputs) {
        let found = rates_of(&output?)?;
        places.iter().zip(found).for_each(|(&place, found)| rates[place] = found);
    }
    Ok(rates)
}

fn start_client(from: &Host, task: &Task) -> Result<Child> {
    let mut command = pinned(from)?;
    command.args(["client", &serde_json::to_string(task)?]).stdout(Stdio::piped());
    from.spawn_command(command)
}

fn rates_of(output: &Output) -> Result<Vec<Vec<f64>>> {
    if !output.status.success() {
        bail!("a client failed; the reason is above");
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn pinned(host: &Host) -> Result<Command> {
    // Ahead of whatever else the machine does; else its time slices would be measured.
    let mut command = host.command("chrt");
    command.args(["--fifo", "1", "taskset", "-c", CPU]).arg(std::env::current_exe()?).stdin(Stdio::null());
    Ok(command)
}

/// The whole life of a server.
pub fn run_server(ports: &[u16]) -> Result<()> {
    let listen = |port: &u16| -> Result<TcpListener> {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).context("a port to listen on")?;
        // Its connections inherit it.
        setsockopt(&listener, sockopt::RcvBuf, &BUFFER)?;
        Ok(listener)
    };
    let listeners = ports.iter().map(listen).collect::<Result<Vec<_>>>()?;
    std::io::stdout().write_all(b".")?;
    std::io::stdout().flush()?;
    thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(move || listener.incoming().flatten().for_each(|stream| _ = answer(stream)));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 1];
    stream.read_exact(&mut buffer)?;
    if buffer[0] == STREAM {
        let mut buffer = vec![0; 2 * CHUNK];
        while stream.read(&mut buffer)? > 0 {}
        return stream.write_all(b".");
    }
    let mut rest = [0; REQUEST];
    stream.read_exact(&mut rest[1..])?;
    stream.write_all(&rest)?;
    // Until the client's FIN, so that the client is the one who closes first.
    match stream.read(&mut rest)? {
        0 => Ok(()),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

/// The whole life of a client: prints the rates of each of its lanes.
pub fn run_client(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    task.own.iter().try_for_each(|(_, to)| request(*to))?;
    let mut rates = vec![Vec::new(); task.own.len()];
    for round in 0..task.rounds {
        for (index, begin) in task.slots(round) {
            let (to, end) = (task.own[index].1, begin + task.work.slot_ns());
            sleep_until(begin)?;
            rates[index].push(match task.work {
                Work::Stream => stream(to, end)?,
                Work::Requests => rate(end, || request(to))?,
            });
        }
    }
    println!("{}", serde_json::to_string(&rates)?);
    Ok(())
}

/// Works until `end` and returns how often in a second.
fn rate(end: i64, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let begin = now_ns()?;
    let mut done = 0.0;
    loop {
        work()?;
        done += 1.0;
        let now = now_ns()?;
        if now >= end {
            return Ok(done * 1e9 / (now - begin) as f64);
        }
    }
}

fn request(to: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    let mut buffer = [b'C'; REQUEST];
    stream.write_all(&buffer)?;
    stream.read_exact(&mut buffer).with_context(|| format!("the answer of {to}"))
}

/// Sends over one connection until `end` and returns how many chunks the server took in a second, from connect() to the server's
/// word that it has them all.
fn stream(to: SocketAddr, end: i64) -> Result<f64> {
    let begin = now_ns()?;
    let mut stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    setsockopt(&stream, sockopt::SndBuf, &BUFFER)?;
    stream.write_all(&[STREAM])?;
    let mut sent = 0.0;
    while now_ns()? < end - DRAIN_NS {
        stream.write_all(&[0; CHUNK])?;
        sent += 1.0;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_exact(&mut [0]).with_context(|| format!("the last word of {to}"))?;
    Ok(sent * 1e9 / (now_ns()? - begin) as f64)
}

fn now_ns() -> Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

fn sleep_until(ns: i64) -> Result<()> {
    let at = TimeSpec::new(ns / 1_000_000_000, ns % 1_000_000_000);
    clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &at).map(drop).context("sleep")
}

//! One lane of a race: a client that works in its own slots of a common clock, and the server it talks to. Each is a process of its
//! own, since it must be in a pod's cgroup.
//!
//! Invariant: nothing is retried; a connection that fails ends the lane with an error.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use serde::{Deserialize, Serialize};
use sluice_tests::Host;

/// Where clients, servers and forwarding run; everything else keeps to CPU 0.
const CPU: &str = "1";
const SLOT_NS: i64 = 16_000_000;
/// Slots at the end of each round in which nobody works. The kernel takes a twentieth of each second from those who are ahead of
/// all else, for whoever waits: it shall not be in the middle of a slot.
const REST: i64 = 1;
/// From the start of the clients to the first slot.
const LEAD_NS: i64 = 1_500_000_000;
const REQUEST: usize = 64;
const CHUNK: usize = 128 << 10;
const STREAM: u8 = b'S';

/// What a client does in its slots.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Connects, sends a request, reads the answer, closes.
    Requests,
    /// Sends over one connection.
    Stream,
}

/// A client and where it goes.
pub struct Lane<'a> {
    pub from: &'a Host,
    pub to: SocketAddr,
}

#[derive(Serialize, Deserialize)]
struct Task {
    to: SocketAddr,
    work: Work,
    start_ns: i64,
    lane: i64,
    lanes: i64,
    rounds: i64,
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
    let start_ns = now_ns()? + LEAD_NS;
    let start = |(place, lane): (usize, &Lane<'_>)| -> Result<Child> {
        let task = Task { to: lane.to, work, start_ns, lane: place as i64, lanes: lanes.len() as i64, rounds: rounds as i64 };
        let mut command = pinned(lane.from)?;
        command.args(["client", &serde_json::to_string(&task)?]).stdout(Stdio::piped());
        lane.from.spawn_command(command)
    };
    let children: Vec<Child> = lanes.iter().enumerate().map(start).collect::<Result<_>>()?;
    let outputs: Vec<_> = children.into_iter().map(Child::wait_with_output).collect();
    let rates = |output: std::io::Result<std::process::Output>| -> Result<Vec<f64>> {
        let output = output?;
        if !output.status.success() {
            bail!("a client failed; the reason is above");
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    outputs.into_iter().map(rates).collect()
}

fn pinned(host: &Host) -> Result<Command> {
    // Ahead of whatever else the machine does; else its time slices would be measured.
    let mut command = host.command("chrt");
    command.args(["--fifo", "1", "taskset", "-c", CPU]).arg(std::env::current_exe()?).stdin(Stdio::null());
    Ok(command)
}

/// The whole life of a server.
pub fn run_server(ports: &[u16]) -> Result<()> {
    let listen = |port: &u16| TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).context("a port to listen on");
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
        thread::spawn(move || {
            let mut buffer = vec![0; 2 * CHUNK];
            while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
        });
        return Ok(());
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

/// The whole life of a client: prints its rate in each of its slots.
pub fn run_client(task: &str) -> Result<()> {
    let task: Task = serde_json::from_str(task)?;
    let stream = if task.work == Work::Stream { Some(open_stream(task.to)?) } else { None };
    request(task.to)?;
    let mut rates = Vec::new();
    for round in 0..task.rounds {
        let begin = task.start_ns + (round * (task.lanes + REST) + task.lane) * SLOT_NS;
        sleep_until(begin)?;
        rates.push(match &stream {
            Some(stream) => rate(begin + SLOT_NS, || send(stream))?,
            None => rate(begin + SLOT_NS, || request(task.to))?,
        });
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

fn open_stream(to: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    stream.write_all(&[STREAM])?;
    Ok(stream)
}

fn send(mut stream: &TcpStream) -> Result<()> {
    Ok(stream.write_all(&[0; CHUNK])?)
}

fn now_ns() -> Result<i64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec() * 1_000_000_000 + now.tv_nsec())
}

fn sleep_until(ns: i64) -> Result<()> {
    let at = TimeSpec::new(ns / 1_000_000_000, ns % 1_000_000_000);
    clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &at).map(drop).context("sleep")
}

//! One UDP socket that talks to many addresses at once and checks where each answer says it comes from.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::pace::{Stop, print, print_report};
use super::report::{Line, UnconnectedReport};
use super::task::Unconnected;

/// Runs the rounds and prints what came back.
pub fn run(task: &Unconnected) -> Result<()> {
    let stop = Stop::on_end_of_input();
    let wide = task.dual || task.targets.iter().all(SocketAddr::is_ipv6);
    let any: IpAddr = if wide { Ipv6Addr::UNSPECIFIED.into() } else { std::net::Ipv4Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    if let Some(address) = task.connect {
        socket.connect(address)?;
    }
    let mut report = UnconnectedReport::default();
    print(&Line::Ready)?;
    for number in 0..task.rounds {
        if stop.now() {
            break;
        }
        round(task, &socket, number, &mut report)?;
        stop.sleep_until(Instant::now() + Duration::from_millis(task.interval_ms));
    }
    print_report(&report)
}

fn round(task: &Unconnected, socket: &UdpSocket, number: u32, report: &mut UnconnectedReport) -> Result<()> {
    let mut waiting: BTreeMap<String, SocketAddr> = BTreeMap::new();
    for (place, &target) in task.targets.iter().enumerate() {
        let word = format!("{number}.{place}");
        match socket.send_to(word.as_bytes(), wire(target, task.dual)) {
            Ok(_) => drop(waiting.insert(word, target)),
            Err(error) => report.errors.push(format!("send to {target}: {error}")),
        }
    }
    let deadline = Instant::now() + Duration::from_millis(task.timeout_ms);
    while !waiting.is_empty() && Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 512];
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => take(report, &mut waiting, &String::from_utf8_lossy(&buffer[..length]), plain(from)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => report.errors.push(format!("receive: {error}")),
        }
    }
    for target in waiting.into_values() {
        *report.lost.entry(target).or_default() += 1;
    }
    Ok(())
}

fn take(report: &mut UnconnectedReport, waiting: &mut BTreeMap<String, SocketAddr>, text: &str, from: SocketAddr) {
    let mut words = text.split(' ');
    let (Some(by), Some(word)) = (words.next(), words.nth(1)) else { return };
    // An answer of an earlier round came too late and was counted as lost.
    let Some(target) = waiting.remove(word) else { return };
    if from == target {
        *report.answered.entry(target).or_default() += 1;
    } else {
        report.strangers.push((target, from));
    }
    *report.answerers.entry(target).or_default().entry(by.to_owned()).or_default() += 1;
}

/// The address as the socket must be given it.
fn wire(target: SocketAddr, dual: bool) -> SocketAddr {
    match target.ip() {
        IpAddr::V4(v4) if dual => SocketAddr::new(v4.to_ipv6_mapped().into(), target.port()),
        _ => target,
    }
}

/// The address as the test wrote it.
fn plain(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

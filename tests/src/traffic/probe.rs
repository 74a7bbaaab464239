//! Single connections, one after the other, each reported by itself.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use super::dial::{Answer, Connection, Failure};
use super::pace::print_report;
use super::report::Outcome;
use super::task::Probe;
use crate::wait::monotonic_ns;

/// Makes them all and prints the list of outcomes.
pub fn run(task: &Probe) -> Result<()> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for n in 0..task.count {
        outcomes.push(once(task, source(task.bind, n)));
        if task.until_failure && outcomes.last().is_some_and(|outcome| outcome.result.is_err()) {
            break;
        }
    }
    print_report(&outcomes)
}

/// The source of connection `n`: a given port is that of the first, each further one takes the next.
fn source(bind: Option<SocketAddr>, n: u32) -> Option<SocketAddr> {
    let port = |port: u16| if port == 0 { 0 } else { port.saturating_add(u16::try_from(n).unwrap_or(u16::MAX)) };
    bind.map(|bind| SocketAddr::new(bind.ip(), port(bind.port())))
}

fn once(task: &Probe, bind: Option<SocketAddr>) -> Outcome {
    let start_ns = monotonic_ns();
    let (mut local, mut remote) = (None, None);
    let result = connect(task, bind).and_then(|connection| -> Result<Answer, Failure> {
        (local, remote) = (connection.local(), connection.remote());
        connection.ask_and_close(task.close)
    });
    Outcome { result, local, remote, micros: (monotonic_ns() - start_ns) / 1000, start_ns }
}

fn connect(task: &Probe, bind: Option<SocketAddr>) -> Result<Connection, Failure> {
    Connection::open(task.target.proto, task.target.to, bind, Duration::from_millis(task.timeout_ms))
}

//! Counters behind a line protocol: what stands in for redis and for the database of the voting app.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::dial::Connection;
use crate::net::Proto;

/// How long a pod of the app waits for another one.
const PATIENCE: Duration = Duration::from_secs(2);

/// Named counters.
#[derive(Debug, Default)]
pub struct Store(Mutex<BTreeMap<String, u64>>);

impl Store {
    /// Answers one line: `add KEY N`, `take KEY` (returns and resets) or `all`.
    pub fn line(&self, words: &[&str]) -> String {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match words {
            ["add", key, amount] => {
                let counter = counters.entry((*key).to_owned()).or_default();
                *counter += amount.parse::<u64>().unwrap_or(0);
                format!("{counter}\n")
            }
            ["take", key] => format!("{}\n", counters.remove(*key).unwrap_or(0)),
            ["all"] => {
                let parts: Vec<String> = counters.iter().map(|(key, sum)| format!("{key} {sum}")).collect();
                format!("{}\n", parts.join(", "))
            }
            _ => "what?\n".to_owned(),
        }
    }
}

/// Asks a store one line over a new connection.
pub fn ask(store: SocketAddr, line: &str) -> io::Result<String> {
    let connection =
        Connection::open(Proto::Tcp, store, None, PATIENCE).map_err(|failure| io::Error::other(failure.to_string()))?;
    let Connection::Tcp(mut stream) = connection else { return Err(io::ErrorKind::Unsupported.into()) };
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

/// Moves votes from one store to the other, for ever. What can't be delivered is put back.
pub fn work(from: SocketAddr, to: SocketAddr) -> ! {
    loop {
        for key in ["cats", "dogs"] {
            let taken = ask(from, &format!("take {key}")).unwrap_or_default();
            if taken.is_empty() || taken == "0" {
                continue;
            }
            if let Err(error) = ask(to, &format!("add {key} {taken}")).or_else(|_| ask(from, &format!("add {key} {taken}"))) {
                eprintln!("{taken} votes for {key} are lost: {error}");
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

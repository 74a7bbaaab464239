//! One HTTP request over a connection of its own.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use super::dial::Connection;
use super::pace::print_report;
use super::report::PageReport;
use super::task::Get;
use crate::net::Proto;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gets the page and prints it.
pub fn run(task: &Get) -> Result<()> {
    print_report(&fetch(task.to, &task.path).unwrap_or_else(|error| PageReport {
        status: 0,
        body: String::new(),
        failure: Some(error.to_string()),
    }))
}

fn fetch(to: SocketAddr, path: &str) -> io::Result<PageReport> {
    let connection =
        Connection::open(Proto::Tcp, to, None, PATIENCE).map_err(|failure| io::Error::other(failure.to_string()))?;
    let Connection::Tcp(mut stream) = connection else { return Err(io::ErrorKind::Unsupported.into()) };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
    Ok(PageReport { status, body: body.trim_end().to_owned(), failure: None })
}

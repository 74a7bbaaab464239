//! The least HTTP client that can ask an agent how it is.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::netns::Netns;

/// Status and body of a page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// The head, status line included.
    pub head: String,
    /// The body.
    pub body: String,
}

/// Gets a page from inside a namespace, over a connection of its own.
pub fn get(netns: &Netns, at: SocketAddr, path: &str) -> Result<Page> {
    netns.enter(|| fetch(at, path))?.with_context(|| format!("GET http://{at}{path} in {}", netns.name()))
}

fn fetch(at: SocketAddr, path: &str) -> Result<Page> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok(Page { status, head: head.to_owned(), body: body.to_owned() })
}

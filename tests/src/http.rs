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

/// What a request carries.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// Its media type.
    pub kind: &'a str,
    /// The body itself.
    pub text: &'a str,
}

/// Gets a page from inside a namespace, over a connection of its own.
pub fn get(netns: &Netns, at: SocketAddr, path: &str) -> Result<Page> {
    request(netns, at, "GET", path, None)
}

/// Any request from inside a namespace, over a connection of its own.
pub fn request(netns: &Netns, at: SocketAddr, method: &str, path: &str, body: Option<Body>) -> Result<Page> {
    netns.enter(|| exchange(at, method, path, body))?.with_context(|| format!("{method} http://{at}{path} in {}", netns.name()))
}

/// HTTP/1.0, so that no answer comes in chunks.
fn exchange(at: SocketAddr, method: &str, path: &str, body: Option<Body>) -> Result<Page> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let Body { kind, text } = body.unwrap_or(Body { kind: "text/plain", text: "" });
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {at}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").context("no end of the head")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok(Page { status, head: head.to_owned(), body: body.to_owned() })
}

//! The server of a pod. Every TCP connection has a thread, every UDP address one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};

use super::pace::print;
use super::report::Line;
use super::store::Store;
use super::task::{App, Serve};

/// Listens on every address and answers until the process is killed.
pub fn run(task: &Serve) -> Result<()> {
    let site = Arc::new(Site { name: task.name.clone(), app: task.app.clone(), store: Store::default() });
    for address in &task.tcp {
        let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
        let site = Arc::clone(&site);
        thread::spawn(move || accept(&listener, &site));
    }
    for address in &task.udp {
        let socket = UdpSocket::bind(address).with_context(|| format!("bind {address}"))?;
        let site = Arc::clone(&site);
        thread::spawn(move || answer_datagrams(&socket, &site));
    }
    print(&Line::Ready)?;
    if let App::Worker { from, to } = task.app {
        super::store::work(from, to);
    }
    loop {
        thread::park();
    }
}

struct Site {
    name: String,
    app: App,
    store: Store,
}

fn accept(listener: &TcpListener, site: &Arc<Site>) {
    for stream in listener.incoming().flatten() {
        let site = Arc::clone(site);
        // A client that goes away in the middle ends its own thread only. 64 KiB of stack hold hundreds of connections.
        let worker = thread::Builder::new().stack_size(64 << 10).spawn(move || converse(stream, &site));
        if let Err(error) = worker {
            eprintln!("a connection was dropped: {error}");
        }
    }
}

fn converse(mut stream: TcpStream, site: &Site) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let peer = stream.peer_addr()?;
    // The listener is dual: IPv4 clients show as mapped addresses.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let mut input = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while {
        line.clear();
        input.read_line(&mut line)?
    } > 0
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["who"] => stream.write_all(site.answer(peer).as_bytes())?,
            ["bye"] => return stream.write_all(site.answer(peer).as_bytes()),
            ["echo", bytes] => echo(&mut input, &mut stream, bytes.parse().unwrap_or(0))?,
            ["GET", path, ..] => return site.page(&mut input, &mut stream, path, peer),
            words => stream.write_all(site.store.line(words).as_bytes())?,
        }
    }
    Ok(())
}

fn echo(input: &mut impl Read, output: &mut impl Write, bytes: u64) -> io::Result<()> {
    io::copy(&mut input.take(bytes), output).map(drop)
}

fn answer_datagrams(socket: &UdpSocket, site: &Site) {
    let mut buffer = [0; 2048];
    loop {
        // A client that is gone shows as an ICMP error on the next call; the others must go on.
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
        let mut answer = format!("{} {peer} ", site.name).into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        let _ = socket.send_to(&answer, peer);
    }
}

impl Site {
    fn answer(&self, peer: SocketAddr) -> String {
        format!("{} {peer}\n", self.name)
    }

    fn page(&self, input: &mut impl BufRead, output: &mut impl Write, path: &str, peer: SocketAddr) -> io::Result<()> {
        let mut header = String::new();
        while {
            header.clear();
            input.read_line(&mut header)?
        } > 2
        {}
        let body = match &self.app {
            App::Vote { store } => match path.strip_prefix("/vote/") {
                Some(key) => {
                    super::store::ask(*store, &format!("add {key} 1")).map(|sum| format!("vote for {key}, {sum} waiting"))
                }
                None => Ok("vote with GET /vote/cats or /vote/dogs".to_owned()),
            },
            App::Tally { store } => super::store::ask(*store, "all"),
            App::Hello | App::Store | App::Worker { .. } => Ok(format!("Hello, {peer}")),
        };
        let (status, body) = match body {
            Ok(body) => ("200 OK", body),
            Err(error) => ("502 Bad Gateway", error.to_string()),
        };
        let text = format!("{body} ({})\n", self.name);
        write!(
            output,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        )
    }
}

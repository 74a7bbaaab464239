//! One TCP connection that sends bytes of a known sequence and compares the echo byte by byte.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::dial::Connection;
use super::pace::print_report;
use super::report::StreamReport;
use super::task::Stream;
use crate::net::Proto;

/// How long the stream may stand still before it counts as broken.
const STALL: Duration = Duration::from_secs(10);
/// How much is sent and compared at once.
const CHUNK: usize = 64 << 10;

/// Sends and compares, and prints how far it came.
pub fn run(task: &Stream) -> Result<()> {
    let start = Instant::now();
    let mut report = StreamReport { equal: 0, failure: None, micros: 0 };
    match Connection::open(Proto::Tcp, task.to, None, STALL) {
        Ok(Connection::Tcp(stream)) => {
            report.failure = exchange(&stream, task.bytes, &mut report.equal).err().map(|error| error.to_string());
        }
        Ok(Connection::Udp(_)) => report.failure = Some("a stream needs TCP".to_owned()),
        Err(failure) => report.failure = Some(failure.to_string()),
    }
    report.micros = start.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
    print_report(&report)
}

fn exchange(stream: &TcpStream, bytes: u64, equal: &mut u64) -> io::Result<()> {
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(stream, bytes));
        compare(stream, bytes, equal)?;
        sender.join().unwrap_or_else(|_| Err(io::Error::other("the sender panicked")))
    })
}

fn send(mut stream: &TcpStream, bytes: u64) -> io::Result<()> {
    stream.write_all(format!("echo {bytes}\n").as_bytes())?;
    let mut noise = Noise::default();
    let mut left = bytes;
    let mut chunk = [0; CHUNK];
    while left > 0 {
        let length = left.min(CHUNK as u64) as usize;
        noise.fill(&mut chunk[..length]);
        stream.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    Ok(())
}

fn compare(mut stream: &TcpStream, bytes: u64, equal: &mut u64) -> io::Result<()> {
    let mut noise = Noise::default();
    let (mut seen, mut wanted) = ([0; CHUNK], [0; CHUNK]);
    while *equal < bytes {
        let length = (bytes - *equal).min(CHUNK as u64) as usize;
        let length = stream.read(&mut seen[..length])?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        noise.fill(&mut wanted[..length]);
        if let Some(place) = (0..length).find(|&place| seen[place] != wanted[place]) {
            *equal += place as u64;
            return Err(io::Error::other(format!("byte {equal} differs: {:#04x}, not {:#04x}", seen[place], wanted[place])));
        }
        *equal += length as u64;
    }
    Ok(())
}

/// A fixed sequence of bytes without short cycles (xorshift64), so that shifted or repeated segments differ.
struct Noise {
    state: u64,
    left: u32,
    word: u64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, left: 0, word: 0 }
    }
}

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.left == 0 {
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                (self.word, self.left) = (self.state, 8);
            }
            *byte = self.word as u8;
            self.word >>= 8;
            self.left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Noise;

    #[test]
    fn noise_does_not_depend_on_how_it_is_cut() {
        let (mut whole, mut parts) = ([0; 1000], [0; 1000]);
        Noise::default().fill(&mut whole);
        let mut noise = Noise::default();
        for part in parts.chunks_mut(7) {
            noise.fill(part);
        }
        assert_eq!(whole, parts);
    }
}

//! What the user sees: plain lines as things happen and, on a terminal, a block below them that is redrawn in place.
//!
//! Invariant: without a terminal nothing but whole lines is printed.

use std::io::{self, IsTerminal, Write};
use std::time::Instant;

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
/// To the start of the line, then erase everything below.
const ERASE: &str = "\r\x1b[J";

/// The terminal or the pipe.
#[derive(Debug)]
pub struct Screen {
    live: bool,
    started: Instant,
    drawn: usize,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self { live: io::stdout().is_terminal(), started: Instant::now(), drawn: 0 }
    }

    /// Begins a chapter.
    pub fn chapter(&mut self, title: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let (bold, dim, plain) = (self.code(BOLD), self.code(DIM), self.code(PLAIN));
        self.line(&format!("\n{bold}{title}{plain} {dim}({seconds:.1} s){plain}"));
    }

    /// Something came out as told.
    pub fn good(&mut self, text: &str) {
        let (colour, plain) = (self.code(GREEN), self.code(PLAIN));
        self.line(&format!("  {colour}✓{plain} {text}"));
    }

    /// Something did not.
    pub fn bad(&mut self, text: &str) {
        let (colour, plain) = (self.code(RED), self.code(PLAIN));
        self.line(&format!("  {colour}✗ {text}{plain}"));
    }

    /// A line that stays.
    pub fn line(&mut self, text: &str) {
        let text = format!("{}{text}\n", self.erase());
        self.print(&text);
    }

    /// Whether [`Screen::block`] shows anything.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Draws the block anew.
    pub fn block(&mut self, lines: &[String]) {
        if !self.live {
            return;
        }
        let text = format!("{}\n{}\n", self.erase(), lines.join("\n"));
        self.drawn = lines.len() + 1;
        self.print(&text);
    }

    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A{ERASE}"),
        }
    }

    fn code(&self, code: &'static str) -> &'static str {
        if self.live { code } else { "" }
    }

    fn print(&self, text: &str) {
        let mut out = io::stdout().lock();
        // Nobody is left to be told if the reader has gone away.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

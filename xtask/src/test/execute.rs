//! Runs one test program and reads its output as it comes.
//!
//! Invariant: it comes back, whatever the program does: a program in which no test ends for too long is ended.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::controlplane;
use crate::paths;
use crate::test::binaries::Binary;
use crate::test::interrupt::Interrupt;
use crate::test::libtest::{Ending, Outcome, Parser};

/// From the end of one test to the end of the next. The longest takes two minutes, on cores shared with others ten.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// For what an ended program leaves in its output, which a child of a test may hold open.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Runs the program's tests, those whose name contains `only` if given, to the end.
pub fn execute(binary: &Binary, args: &[&str], only: Option<&str>, interrupt: &Interrupt) -> Result<Outcome> {
    let child = Command::new(&binary.path)
        .args(args)
        .args(only)
        .current_dir(&binary.folder)
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .env("SLUICE_BIN", paths::sluice())
        .env("SLUICE_CONTROLPLANE", controlplane::folder())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.path.display()))?;
    interrupt.set_child(Some(child.id()));
    let (outcome, ending) = follow(child, PATIENCE)?;
    interrupt.set_child(None);
    if ending == Ending::TooLong {
        println!("no test ended for {} minutes; the program was ended", PATIENCE.as_secs() / 60);
        interrupt.wait_for_janitors();
    }
    Ok(outcome)
}

/// Reads what the program prints until it ends, or is ended because no test did within `limit`.
fn follow(mut child: Child, limit: Duration) -> Result<(Outcome, Ending)> {
    let lines = read(child.stdout.take().context("standard output of the tests")?);
    let mut parser = Parser::new();
    if !take(&mut parser, &lines, limit) {
        child.kill()?;
        take(&mut parser, &lines, LAST_WORDS.min(limit));
        child.wait()?;
        return Ok((parser.finish(Ending::TooLong), Ending::TooLong));
    }
    let ending = if child.wait()?.success() { Ending::Good } else { Ending::Bad };
    Ok((parser.finish(ending), ending))
}

/// Hands lines to the parser until they end; false if none told of progress for so long.
fn take(parser: &mut Parser, lines: &Receiver<String>, limit: Duration) -> bool {
    let mut last = Instant::now();
    while last.elapsed() < limit {
        match lines.recv_timeout(limit.saturating_sub(last.elapsed())) {
            Ok(line) if parser.line(&line) => {
                println!("{line}");
                last = Instant::now();
            }
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
    false
}

fn read(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            // Nobody listens after the program was ended.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().expect("a shell")
    }

    #[test]
    fn a_program_that_hangs_is_ended_and_its_test_named() {
        let hangs = program("echo 'test a ... ok'; printf 'test b ... '; exec sleep 1000");
        let started = Instant::now();
        let (outcome, ending) = follow(hangs, Duration::from_millis(200)).expect("an outcome");
        assert_eq!((outcome.passed, ending), (1, Ending::TooLong));
        assert_eq!(outcome.failed, ["b (ended by the runner: it took too long)"]);
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn noise_is_no_progress() {
        let talks = program("printf 'test b ... '; while :; do echo still here; sleep 0.01; done");
        let (outcome, _) = follow(talks, Duration::from_millis(200)).expect("an outcome");
        assert_eq!(outcome.failed, ["b (ended by the runner: it took too long)"]);
    }

    #[test]
    fn a_program_that_is_slow_in_all_but_quick_in_each_is_left_alone() {
        let slow =
            program("for name in a b c d; do sleep 0.3; echo \"test $name ... ok\"; done; echo 'test result: ok. 4 passed'");
        let (outcome, ending) = follow(slow, Duration::from_secs(1)).expect("an outcome");
        assert_eq!((outcome.passed, ending), (4, Ending::Good));
    }
}

//! Grace periods: when they end, no program can see any more what was taken out before they began.
//!
//! Every program runs as an RCU reader, and the kernel waits for all of them when user space changes a map of maps
//! (`maybe_wait_bpf_programs` in kernel/bpf/syscall.c since Linux 4.20; 8 ms on Linux 6.18). So one such change, on a map that
//! nobody uses, ends the grace period of all that was retired before it. It blocks, so a thread of its own makes it.

use super::sys::{self, ARRAY, ARRAY_OF_MAPS, Shape};
use nix::errno::Errno;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, sleep};
use std::time::Duration;

/// Names everything that was retired up to one moment; later tokens are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct GraceToken(pub u64);

/// Grace periods can't be had.
#[derive(Debug, thiserror::Error)]
pub enum GraceError {
    /// The kernel does not make the map of maps.
    #[error("cannot create a map of maps: {0}; the agent needs CAP_BPF, and memory for two maps of one entry")]
    Map(#[from] Errno),
    /// There is no thread to wait in.
    #[error("cannot start a thread: {0}; raise the limit of threads")]
    Thread(#[from] io::Error),
}

/// The thread that waits. It ends when this is dropped.
#[derive(Debug)]
pub struct GracePeriods(Sender<GraceToken>);

const RETRY: Duration = Duration::from_millis(100);

impl GracePeriods {
    /// Starts the thread; it hands each token whose grace period has ended to `ended`. Of tokens that wait together, only the
    /// greatest is handed out, since it stands for the others.
    pub fn start(ended: impl FnMut(GraceToken) + Send + 'static) -> Result<Self, GraceError> {
        let barrier = Barrier::new()?;
        let (sender, receiver) = channel();
        Builder::new().name("grace".into()).spawn(move || wait(&barrier, &receiver, ended))?;
        Ok(Self(sender))
    }

    /// Asks for the end of a grace period that begins at this moment.
    pub fn begin(&self, token: GraceToken) {
        if self.0.send(token).is_err() {
            tracing::error!(
                "the thread that waits for grace periods has ended: ids are not reused until the agent starts again"
            );
        }
    }
}

fn wait(barrier: &Barrier, tokens: &Receiver<GraceToken>, mut ended: impl FnMut(GraceToken)) {
    while let Ok(first) = tokens.recv() {
        let token = tokens.try_iter().fold(first, GraceToken::max);
        while let Err(errno) = barrier.pass() {
            tracing::warn!(%errno, "a grace period could not be waited for; trying again");
            sleep(RETRY);
        }
        ended(token);
    }
}

/// A map of maps that nobody looks into.
#[derive(Debug)]
struct Barrier {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Barrier {
    fn new() -> Result<Self, Errno> {
        let shape = Shape { kind: ARRAY, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };
        let inner = sys::create("sluice_inner", shape)?;
        let outer = sys::create_outer("sluice_grace", Shape { kind: ARRAY_OF_MAPS, ..shape }, &inner)?;
        Ok(Self { outer, inner })
    }

    fn pass(&self) -> Result<(), Errno> {
        sys::update(&self.outer, &0u32, &self.inner.as_raw_fd())
    }
}

//! Why the agent ends.

use crate::lifecycle::StartError;
use crate::maps::{GraceError, MapError, PinError};
use crate::serve::http::ServeError;
use std::io;

/// Why the agent ends; what is pinned goes on working. Exit codes are listed in docs/operations.md.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An address can't be listened on.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The tables can't be read.
    #[error(transparent)]
    Adopt(#[from] MapError),
    /// The tables can't be read for metrics.
    #[error(transparent)]
    Pins(#[from] PinError),
    /// Grace periods can't be had.
    #[error(transparent)]
    Grace(#[from] GraceError),
    /// There is no thread to sweep flows in.
    #[error("can't start a thread: {0}; raise the limit of threads")]
    Thread(io::Error),
    /// Two metrics have one name.
    #[error("the registry of metrics refused one: {0}; this is a defect of this version, report it")]
    Metrics(#[from] prometheus::Error),
    /// Signals can't be waited for.
    #[error("can't wait for signals: {0}; check the seccomp profile of the container")]
    Signals(io::Error),
    /// A task ended that runs as long as the agent.
    #[error("the agent's task {0:?} has ended: restart the agent; what is programmed goes on working")]
    TaskEnded(&'static str),
}

impl AppError {
    /// The exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Start(error) => error.exit_code(),
            Self::Adopt(_) | Self::Pins(_) | Self::Grace(_) => 17,
            Self::Serve(_) => 22,
            Self::TaskEnded(_) => 23,
            Self::Metrics(_) | Self::Signals(_) | Self::Thread(_) => 1,
        }
    }
}

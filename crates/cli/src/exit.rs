//! How the process ends. Scripts rely on these numbers; they are nowhere else.

use std::process::ExitCode;

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// It could not be done.
    Failed,
    /// The command line or the config cannot be meant.
    Usage,
    /// It was done, and falls short of a gate that was asked for.
    GateNotMet,
    /// Interrupted; a training run has written a checkpoint.
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::GateNotMet => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// A mistake in the command line or the config, as opposed to work that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

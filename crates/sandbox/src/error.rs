//! What can be wrong with a sandbox before a tool runs.

/// A sandbox that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The tools' interpreter does not run.
    #[error(
        "cannot run `{program}`: {problem}\nhint: the tools of this suite are Python programs; install Python 3.9 or later, or name one in `python.interpreter`"
    )]
    Python {
        /// The interpreter as configured.
        program: String,
        /// What went wrong.
        problem: String,
    },
    /// What tools are to see as today is no day.
    #[error("`python.date` is `{0}`, expected a day as `YYYY-MM-DD`")]
    Date(String),
    /// A layer that the config requires is not there.
    #[error("`sandbox.require`: {0}")]
    Missing(String),
    /// No more processes can be had.
    #[error("no session for another episode: {0}")]
    Session(String),
}

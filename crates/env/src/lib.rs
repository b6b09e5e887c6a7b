//! What an agent acts on: suites of tasks with tools, and what an episode was worth.
//! Knows no token and no tensor. A tool that fails is an observation; only a suite that
//! cannot be opened is an error.

mod error;
pub mod ftrl;
mod jsonl;
mod metrics;
pub mod reward;
mod trace;
pub mod world;

pub use error::EnvError;
pub use jsonl::LineProblem;
pub use metrics::{UnsolvedSet, verify};
pub use sandbox::{PythonConfig, SandboxConfig};
pub use trace::{Mismatch, ReplayReport, load_traces, replay, write_traces};

use episode::{Observation, Score, Task, ToolCall};

/// A set of tasks of one kind, with the means to act on them.
pub trait Suite: Send + Sync {
    /// `world`, `ftrl`, …
    fn name(&self) -> &'static str;
    /// Every task, in a fixed order.
    fn tasks(&self) -> &[Task];
    /// A fresh environment for one episode of a task of this suite.
    fn open(&self, task: &Task) -> Box<dyn Environment>;
    /// What an episode of the task has to solve, none of it solved; `None` for a suite whose
    /// tasks have no sub-answers.
    fn unsolved(&self, _task: &Task) -> Option<UnsolvedSet> {
        None
    }
    /// Whether calls return at once, so that a rollout need not hand them to another thread.
    fn is_instant(&self) -> bool;
}

/// One episode's world. `call` may block; it never fails: whatever goes wrong is a text
/// that the agent reads.
pub trait Environment: Send {
    /// Runs one call of the agent.
    fn call(&mut self, call: &ToolCall) -> Observation;
    /// The score of the episode so far: reward and metrics.
    fn score(&self) -> Score;
}

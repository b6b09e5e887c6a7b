//! What an agent acts on: suites of tasks with tools, and what an episode was worth.
//! Knows no token and no tensor. A tool that fails is an observation; only a suite that
//! cannot be opened is an error.
//!
//! A task of the built-in world, and its expert's calls:
//!
//! ```
//! use env::Suite;
//! use env::world::{Config, generate};
//!
//! let world = generate(&Config {
//!     tasks: 1,
//!     ..Config::default()
//! });
//! let mut environment = world.suite.open(&world.suite.tasks()[0]);
//! for turn in &world.traces[0].turns {
//!     for (call, result) in turn.calls.iter().zip(&turn.results) {
//!         assert_eq!(environment.call(call).text, *result);
//!     }
//! }
//! assert_eq!(environment.score().metrics["solve-r"], 1.0);
//! ```

mod codes;
pub mod convert;
mod error;
pub mod ftrl;
mod jsonl;
mod message;
mod metrics;
pub mod own;
mod protocol;
mod python_json;
pub mod reward;
mod table;
pub mod tau;
pub mod toolhop;
mod trace;
pub mod world;

pub use error::EnvError;
pub use jsonl::{LineProblem, Place};
pub use metrics::{UnsolvedSet, verify};
pub use protocol::{Protocol, Stage, UnreadCalls};
pub use sandbox::{Health, HealthCount, PythonConfig, SandboxConfig};
pub use table::{read_all as read_table, write as write_table};
pub use trace::{Mismatch, ReplayReport, load_traces, replay, write_traces};

use std::borrow::Cow;

use episode::{Message, Observation, Score, StopReason, Task, ToolCall, Turn};

/// A set of tasks of one kind, with the means to act on them.
pub trait Suite: Send + Sync {
    /// `world`, `ftrl`, …
    fn name(&self) -> &'static str;
    /// Every task, in a fixed order.
    fn tasks(&self) -> &[Task];
    /// A fresh environment for one episode of a task of this suite.
    fn open(&self, task: &Task) -> Box<dyn Environment>;
    /// What an episode of the task begins with now. Not always the task's own messages: what an
    /// agent remembers of earlier episodes may be among them.
    fn prompt<'t>(&self, task: &'t Task) -> Cow<'t, [Message]> {
        Cow::Borrowed(&task.messages)
    }
    /// What an episode of the task has to solve, none of it solved; `None` for a suite whose
    /// tasks have no sub-answers.
    fn unsolved(&self, _task: &Task) -> Option<UnsolvedSet> {
        None
    }
    /// The tasks in the order in which they may be played: those of a stage begin when all
    /// before them are over.
    fn stages(&self) -> Vec<Stage> {
        vec![Stage {
            tasks: 0..self.tasks().len(),
            scored: true,
        }]
    }
    /// The metric by which its authors rank; an episode whose value is 1 has passed.
    fn headline(&self) -> &'static str {
        "solve-f1"
    }
    /// The rules that its authors set for an episode.
    fn protocol(&self) -> Protocol {
        Protocol::default()
    }
    /// How whatever runs its tools has fared since the suite was opened.
    fn health(&self) -> Health {
        Health::default()
    }
    /// Whether calls return at once, so that a rollout need not hand them to another thread.
    fn is_instant(&self) -> bool;
}

/// One episode's world. Its methods may block; none fails: whatever goes wrong is a text
/// that the agent reads, or a score.
pub trait Environment: Send {
    /// Runs one call of the agent.
    fn call(&mut self, call: &ToolCall) -> Observation;
    /// Hears a turn that called nothing: the agent has answered. Returns what the user says
    /// next, or nothing where the episode is over.
    fn answer(&mut self, _turn: &Turn) -> Option<String> {
        None
    }
    /// Whether the environment has ended the episode. Read after the calls of a turn.
    fn is_over(&self) -> bool {
        false
    }
    /// The episode is over, for whatever reason, and these were the policy's turns: what is to
    /// outlive it is kept now. Comes once, before the score is read for good.
    fn close(&mut self, _stop: StopReason, _turns: &[Turn]) {}
    /// The score of the episode so far: reward and metrics.
    fn score(&self) -> Score;
}

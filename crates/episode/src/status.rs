//! What a run is doing right now: `status.json` of a run folder, replaced whole at each change.
//! Written by whoever drives the run, read by whoever watches it from elsewhere.

use serde::{Deserialize, Serialize};

/// What a run is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Loading its model and data.
    #[default]
    Starting,
    /// Sampling a step's episodes.
    Rollout,
    /// Scoring, differentiating and stepping.
    Learn,
    /// Rolling out held-out tasks.
    Evaluation,
    /// Writing a checkpoint.
    Checkpoint,
    /// Held by whoever watches it.
    Paused,
    /// All steps are done.
    Done,
    /// Stopped on request, to be resumed.
    Interrupted,
    /// Ended by an error.
    Failed,
}

/// The episode that everybody waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Waiting {
    /// The task that it attempts.
    pub task: String,
    /// Which sample of its group it is.
    pub sample: usize,
    /// Its turns so far.
    pub turn: usize,
    /// What it waits for: `the model`, or a tool by name.
    pub on: String,
    /// For how long, in seconds.
    pub seconds: f64,
}

/// What a run is doing. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Status {
    /// What it is at.
    pub phase: Phase,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// When this phase began.
    pub since: f64,
    /// When this was written.
    pub updated: f64,
    /// The process that runs it.
    pub process: u32,
    /// Episodes of this phase that are over.
    pub done: usize,
    /// Episodes of this phase.
    pub of: usize,
    /// The slowest episode under way, where one takes long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// The last warning, or the error that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

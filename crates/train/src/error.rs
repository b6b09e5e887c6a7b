//! What can stop a training run.

use std::path::PathBuf;

/// Why training cannot go on. An agent that fails is no error.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A task or trace cannot be put into tokens.
    #[error("task `{task}`: {source}")]
    Chat {
        /// The task's id.
        task: String,
        /// What was wrong.
        source: chat::ChatError,
    },
    /// Too many steps in a row were skipped.
    #[error(
        "{count} steps in a row were skipped, the last of them step {step}: {what} not finite\n\
         hint: the last checkpoint is whole; `pact show {} --skipped {step}` shows what the step \
         was to learn from. Go on from it with a smaller `optimizer.learning-rate` or \
         `optimizer.grad-clip`, or with `model.weights = \"f32\"`; `train.max-skipped` is how \
         many are borne", run.display()
    )]
    Skipped {
        /// The run's folder.
        run: PathBuf,
        /// How many.
        count: u64,
        /// The last, counted from 0.
        step: u64,
        /// What was not finite, as the subject of the sentence.
        what: &'static str,
    },
    /// What samples and what is trained are not the same policy.
    #[error(
        "step {step}: sampler and trainer differ by {gap:.3} nats about a token, more than \
         `train.sampler-gap-limit` = {limit}: what is trained on was not sampled from what is \
         trained, so every ratio and every advantage is off\n\
         hint: set `rollout.top-p`, `rollout.top-k` and `rollout.min-p` to what leaves nothing \
         out (1, 0, 0), or raise the limit (0 sets none) where they are meant"
    )]
    SamplerGap {
        /// The step, counted from 0.
        step: u64,
        /// The largest distance of its tokens, in nats.
        gap: f64,
        /// What was allowed.
        limit: f64,
    },
    /// What is trained holds numbers that are none.
    #[error(
        "after {step} steps the weights are not finite, so no checkpoint is written\n\
         hint: go on from the last one with a smaller `optimizer.learning-rate`"
    )]
    NotFinite {
        /// Steps done.
        step: u64,
    },
    /// Tools that could not run, for no fault of the agent's.
    #[error(
        "{unserved} of {asked} tool calls and sessions got no process or server, so what became \
         of these episodes says nothing of the agent, and they are not trained on: {cause}\n\
         hint: `pact doctor` says what this machine allows tools; the last checkpoint is whole, \
         and `--resume` goes on from it"
    )]
    Tools {
        /// Those that got none.
        unserved: usize,
        /// All.
        asked: usize,
        /// Why the last one got none.
        cause: String,
    },
    /// A rollout that could not go on.
    #[error(transparent)]
    Rollout(#[from] rollout::RolloutError),
    /// A model folder or setting.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// A file of the run folder.
    #[error("`{}`: {source}\nhint: {hint}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
        /// The way out.
        hint: &'static str,
    },
    /// A file of the run folder is not what pact writes.
    #[error("`{}`: {problem}\nhint: {hint}", path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The way out.
        hint: &'static str,
    },
    /// Another process writes the run.
    #[error("{0}\nhint: one process at a time writes a run; end that one, or wait for it")]
    Lock(#[from] store::LockError),
    /// A run folder of a pact that is yet to come.
    #[error("`{}`: {source}\nhint: take a pact that is at least as new as the one that wrote it", path.display())]
    Record {
        /// Its `run.json`.
        path: PathBuf,
        /// What is wrong with it.
        source: episode::RunRecordError,
    },
    /// Not one of a run's checkpoints can be gone on from.
    #[error(
        "`{}`: none of its checkpoints is whole: {damages}\nhint: bring one back from a copy, or remove \
         them to go on from the run's beginning", run.display()
    )]
    NoWholeCheckpoint {
        /// The run.
        run: PathBuf,
        /// What is wrong with each.
        damages: String,
    },
    /// The model, the tokenizer and the data do not belong together.
    #[error("{problem}\nhint: {hint}")]
    Setup {
        /// What does not fit.
        problem: String,
        /// The way out.
        hint: String,
    },
}

impl TrainError {
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            path: path.into(),
            source,
            hint: "free some space or choose another folder; the last checkpoint is whole, and \
                   `--resume` goes on from it",
        }
    }
}

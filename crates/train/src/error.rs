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

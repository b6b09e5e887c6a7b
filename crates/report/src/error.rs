//! Why a run folder could not be read.

use std::path::PathBuf;

/// What is wrong with a run folder, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A folder without a run in it.
    #[error(
        "`{}` is not a run folder: it has no `config.toml`\nhint: give the folder that `pact train` printed at its end", folder.display()
    )]
    NotARun {
        /// What was given.
        folder: PathBuf,
    },
    /// A `run.json` that says nothing, or that a later pact wrote.
    #[error("`{}`: {source}\nhint: take a pact that is at least as new as the one that wrote it", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: episode::RunRecordError,
    },
    /// A file of the run that is there and will not be read.
    #[error("`{}` could not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A step that was not skipped.
    #[error(
        "there is no `{}`: this step was not skipped\nhint: `skipped` in metrics.jsonl is 1 where one was", path.display()
    )]
    NotSkipped {
        /// Where it would be kept.
        path: PathBuf,
    },
    /// A file that will not be written.
    #[error("`{}` could not be written: {source}", path.display())]
    Write {
        /// The file, or its folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line that is not what its file holds.
    #[error("`{}`, line {line}: {source}, expected {expected}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What such a line holds.
        expected: &'static str,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A config that is not TOML.
    #[error("`{}`: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The parser's reason, with its line.
        source: Box<toml::de::Error>,
    },
    /// Runs that cannot be compared.
    #[error("{0}")]
    Incomparable(#[from] Incomparable),
}

/// Why runs cannot be compared.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Incomparable {
    /// A run without the evaluation that is asked for.
    #[error(
        "`{}` has no evaluation {wanted}\nhint: `pact show {}` says what it has", folder.display(), folder.display()
    )]
    NotEvaluated {
        /// The run.
        folder: PathBuf,
        /// Which: `in mode greedy`, `in mode sampled after step 3`.
        wanted: String,
    },
    /// Runs whose evaluations are of other data.
    #[error(
        "`{}` and `{}` are evaluated on other data: their `data.eval` differs\nhint: compare runs with the same `data.eval`", one.display(), other.display()
    )]
    OtherData {
        /// A run.
        one: PathBuf,
        /// One that differs from it.
        other: PathBuf,
    },
    /// Runs that no task has in common.
    #[error(
        "no task is in the {mode} evaluations of all runs\nhint: evaluate them on the same tasks, `eval.tasks` of the same `data.eval`"
    )]
    NoCommonTask {
        /// How the evaluations chose their tokens.
        mode: &'static str,
    },
    /// A metric that no evaluation has.
    #[error("no task of the {mode} evaluations has the metric `{metric}`\nhint: there are {}", known.join(", "))]
    NoSuchMetric {
        /// What was asked for.
        metric: String,
        /// How the evaluations chose their tokens.
        mode: &'static str,
        /// The metrics that they have.
        known: Vec<String>,
    },
    /// Two runs of one method and seed.
    #[error(
        "`{}` and `{}` are both of `{method}` with seed {seed}\nhint: leave one out, or name their methods by `NAME=RUN`", one.display(), other.display()
    )]
    SameSeed {
        /// Their method.
        method: String,
        /// Their seed.
        seed: u64,
        /// A run.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Methods that have no seed in common, hence no pair.
    #[error(
        "`{method}` and `{baseline}` have no seed in common, and pairs are of one task and one seed\nhint: train both with the same seeds"
    )]
    NoCommonSeed {
        /// A method.
        method: String,
        /// What it is compared with.
        baseline: String,
    },
    /// A method that is named and not there.
    #[error("there is no method `{name}`\nhint: there are {}", known.join(", "))]
    NoSuchMethod {
        /// What was asked for.
        name: String,
        /// The methods that there are.
        known: Vec<String>,
    },
    /// A run whose processor time cannot be known.
    #[error(
        "`{}` does not say how many threads it ran on: `engine.threads` is 0\nhint: its config.toml may be given the number that it had", folder.display()
    )]
    UnknownThreads {
        /// The run.
        folder: PathBuf,
    },
}

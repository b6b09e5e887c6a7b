//! What can be wrong before an episode begins. Whatever goes wrong inside one is an observation.

use std::io;
use std::path::{Path, PathBuf};

use crate::memory::SnapshotError;
use crate::tables::TablesError;

/// A data set, an option or a snapshot that cannot be used, by the boundary where it failed.
#[derive(Debug, thiserror::Error)]
pub enum BfclError {
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a JSON-lines file is not what it should be.
    #[error("`{}`, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was found, and what was expected.
        problem: String,
    },
    /// Files of the data set are not there.
    #[error(
        "`{}` is not a whole BFCL data set: missing {}\n\
         hint: `pact data fetch bfcl` brings all of it",
        folder.display(),
        listed(missing)
    )]
    Incomplete {
        /// The data set's folder.
        folder: PathBuf,
        /// Relative to the folder.
        missing: Vec<PathBuf>,
    },
    /// Two files of the data set do not belong together.
    #[error("`{}`: {problem}\nhint: questions and answers must be of one release", path.display())]
    Disagreement {
        /// The file that does not fit.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A folder that has no result file of any category.
    #[error(
        "`{}` has no result file\nhint: a model's folder has files such as `{}`",
        folder.display(),
        example.display()
    )]
    NoResults {
        /// The folder.
        folder: PathBuf,
        /// Where a file would lie.
        example: PathBuf,
    },
    /// A question that no episode could be played with.
    #[error("question `{id}`: {problem}")]
    Question {
        /// Its official id.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The constants of the back ends cannot be used.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The model that embeds cannot be used.
    #[cfg(feature = "vector")]
    #[error(transparent)]
    Embedder(#[from] crate::memory::EmbedderError),
    /// What an earlier run has left of a memory cannot be used.
    #[error("`{}`: {problem}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: SnapshotError,
    },
    /// An option asks for what cannot be had.
    #[error("`{option}`: {problem}")]
    Option {
        /// The option's name in a config.
        option: &'static str,
        /// What was asked for, what was expected, and a `hint:`.
        problem: String,
    },
}

impl BfclError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<_> = paths
        .iter()
        .map(|it| format!("`{}`", it.display()))
        .collect();
    names.join(", ")
}

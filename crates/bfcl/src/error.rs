//! What can be wrong before an episode begins. Whatever goes wrong inside one is an observation.

use std::io;
use std::path::{Path, PathBuf};

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

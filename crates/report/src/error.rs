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
    /// A file of the run that is there and will not be read.
    #[error("`{}` could not be read: {source}", path.display())]
    Read {
        /// The file.
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
}

//! Why a data set could not be had.

use std::io;
use std::path::PathBuf;

/// A data set that could not be had, and what to do instead.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A host did not send the file.
    #[error(
        "`{url}`: {problem}\nhint: where the network does not let pact through, download it by \
         hand to `{}` and run the command again: it checks what it finds there",
        path.display()
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What came instead.
        problem: String,
        /// Where the file is to lie.
        path: PathBuf,
    },
    /// A file is not the one that its owner published.
    #[error(
        "`{}`: its {kind} is {found}, expected {expected}\nhint: it is not the file that was \
         published, or one that was published later; remove it and download `{url}` again",
        path.display()
    )]
    Hash {
        /// The file, which is not there if it was just downloaded.
        path: PathBuf,
        /// Which hash.
        kind: &'static str,
        /// Of the file that was published.
        expected: String,
        /// Of this one.
        found: String,
        /// Where it is published.
        url: String,
    },
    /// A package could not be had, or not be read.
    #[error("{doing}: {problem}\nhint: {by_hand}")]
    Package {
        /// What was tried.
        doing: String,
        /// What Python said.
        problem: String,
        /// The way out.
        by_hand: String,
    },
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

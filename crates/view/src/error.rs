use std::path::PathBuf;

/// What keeps a run from being shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// There is nothing to read at this path.
    #[error(
        "`{}` is not a run: no `episodes.jsonl` and no folder `evaluations` lie in it\n\
         hint: name a run's folder, the folder of `pact eval --out`, or a file of episodes",
        path.display()
    )]
    NotARun {
        /// The path as given.
        path: PathBuf,
    },
    /// A later version of pact wrote it.
    #[error(
        "`{}` has format {format}, and this version of pact reads formats up to {known}\n\
         hint: read it with the version that wrote it, or with a later one",
        path.display()
    )]
    Newer {
        /// The run's `run.json`.
        path: PathBuf,
        /// The format that it names.
        format: u64,
        /// The last format known here.
        known: u64,
    },
    /// A file could not be read.
    #[error("`{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Nothing can listen at this port.
    #[error(
        "cannot listen on 127.0.0.1, port {port}: {source}\n\
         hint: choose another with `--port N`, or leave `--port` out to take a free one"
    )]
    Port {
        /// The port asked for.
        port: u16,
        /// Why not.
        source: std::io::Error,
    },
    /// The server could not be started.
    #[error("the server could not be started: {0}")]
    Server(#[source] std::io::Error),
}

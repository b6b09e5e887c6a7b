//! What can be wrong with a suite before an episode begins. Whatever goes wrong inside an
//! episode is an observation and never comes here.

use std::io;
use std::path::PathBuf;

use crate::Place;

/// A suite that cannot be opened, by the boundary where it failed.
#[derive(Debug, thiserror::Error)]
pub enum EnvError {
    /// A file could not be read or written.
    #[error("`{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line or a row of a file is not what it should be.
    #[error("`{}`, {place}{}: {problem}", path.display(), in_field(.field.as_deref()))]
    Line {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// The field of the row, where one is to blame.
        field: Option<String>,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A row's tool is not a Python program.
    #[error(
        "`{}`, {place}, field `{field}`: tool `{tool}` does not compile: {problem}\n\
         hint: correct its source, or set `allow-broken-tools = true` to let the agent read \
         the error when it calls the tool",
        path.display()
    )]
    Tool {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// The field that holds its source.
        field: &'static str,
        /// The tool's name.
        tool: String,
        /// Python's message.
        problem: String,
    },
    /// A file as a whole is not what it should be.
    #[error("`{}`: {problem}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What was found, what was expected, and a `hint:`.
        problem: String,
    },
    /// Tools of a user's own that no task could use.
    #[error("tools of `{name}`: {problem}")]
    Toolbox {
        /// The toolbox.
        name: String,
        /// What was found, and a `hint:`.
        problem: String,
    },
    /// A Python file of tools that cannot be imported.
    #[error(
        "`{}` does not import: {problem}\nhint: tools run in a sandbox, without network, \
         environment or files, and see the modules of `python.interpreter`",
        path.display()
    )]
    PythonFile {
        /// The file.
        path: PathBuf,
        /// Python's exception and its line, or how the process ended.
        problem: String,
    },
    /// The processes of this suite's tools cannot be had.
    #[error(transparent)]
    Sandbox(#[from] sandbox::SandboxError),
    /// The tool world was asked for something that it cannot make.
    #[error("tool world: {problem}")]
    World {
        /// What was asked for, what was expected, and a `hint:`.
        problem: String,
    },
}

fn in_field(field: Option<&str>) -> String {
    field.map_or_else(String::new, |name| format!(", field `{name}`"))
}

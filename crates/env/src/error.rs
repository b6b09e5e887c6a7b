//! What can be wrong with a suite before an episode begins. Whatever goes wrong inside an
//! episode is an observation and never comes here.

use std::io;
use std::path::PathBuf;

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
    /// A line of a JSON-lines file is not what it should be.
    #[error("`{}`, line {line}{}: {problem}", path.display(), in_field(.field.as_deref()))]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The field of the row, where one is to blame.
        field: Option<String>,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A row's tool is not a Python program.
    #[error(
        "`{}`, line {line}, field `codes`: tool `{tool}` does not compile: {problem}\n\
         hint: correct its source, or set `allow-broken-tools = true` to let the agent read \
         the error when it calls the tool",
        path.display()
    )]
    Tool {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The tool's name.
        tool: String,
        /// Python's message.
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
        "`{}` does not import: {problem}\nhint: `python3 {}` shows the same outside the \
         sandbox; tools see no network, no environment and no file but Python's own",
        path.display(),
        path.display()
    )]
    PythonFile {
        /// The file.
        path: PathBuf,
        /// Python's traceback, or how the process ended.
        problem: String,
    },
    /// The tools' interpreter does not run.
    #[error(
        "cannot run `{program}`: {problem}\nhint: the tools of this suite are Python programs; install Python 3.8 or later, or name one in `python.interpreter`"
    )]
    Python {
        /// The interpreter as configured.
        program: String,
        /// What went wrong.
        problem: String,
    },
    /// What tools are to see as today is no day.
    #[error("`python.date` is `{0}`, expected a day as `YYYY-MM-DD`")]
    Date(String),
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

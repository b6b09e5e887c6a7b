//! A Python file as a toolbox. Its functions are tools, by their type hints and docstrings; two
//! names are none: `reset(task)` runs before an episode's first call, and `reward(task,
//! episode)` says what the episode was worth. `task` is the row without its trace, `episode` is
//! [`Record::to_value`]. What an episode's functions keep in globals is that episode's alone.

use std::fs;
use std::path::Path;

use episode::{Observation, Score, ToolCall};
use sandbox::{Failure, FunctionInfo, Pool};
use serde_json::{Map, Value};

use super::{Record, Session, TaskRow, Toolbox, read_score};
use crate::{EnvError, Health};

const RESET: &str = "reset";
const REWARD: &str = "reward";

/// The functions of one Python file, run in a sandbox.
pub struct PythonTools {
    name: String,
    source: String,
    filename: String,
    tools: Vec<Value>,
    resets: bool,
    rewards: bool,
    pool: Pool,
}

impl PythonTools {
    /// Imports the file once, to see what it defines. A file that does not import is an error,
    /// with Python's traceback.
    pub fn load(name: &str, path: &Path, pool: Pool) -> Result<Self, EnvError> {
        let source = fs::read_to_string(path).map_err(|source| EnvError::File {
            path: path.to_owned(),
            source,
        })?;
        let filename = path.file_name().unwrap_or_default().display().to_string();
        let functions =
            define(&pool, &source, &filename).map_err(|problem| EnvError::PythonFile {
                path: path.to_owned(),
                problem,
            })?;
        let defines = |name: &str| functions.iter().any(|it| it.name == name);
        Ok(Self {
            name: name.to_owned(),
            resets: defines(RESET),
            rewards: defines(REWARD),
            tools: functions
                .iter()
                .filter(|it| ![RESET, REWARD].contains(&it.name.as_str()))
                .map(FunctionInfo::tool)
                .collect(),
            source,
            filename,
            pool,
        })
    }
}

/// What a fresh session that has loaded the source defines.
fn define(pool: &Pool, source: &str, filename: &str) -> Result<Vec<FunctionInfo>, String> {
    let mut session = pool.session().map_err(|error| error.to_string())?;
    let loaded = session.load(source, filename);
    loaded
        .and_then(|()| session.functions())
        .map_err(|failure| told(&failure))
}

/// A failure with the line of the file where it happened, for the file's author.
fn told(failure: &Failure) -> String {
    match failure {
        Failure::Raised { at: Some(at), .. } => format!("{failure} ({at})"),
        other => other.to_string(),
    }
}

impl Toolbox for PythonTools {
    fn name(&self) -> &str {
        &self.name
    }

    fn tools(&self) -> &[Value] {
        &self.tools
    }

    fn open(&self, row: &TaskRow) -> Result<Box<dyn Session>, String> {
        let mut session = self.pool.session().map_err(|error| error.to_string())?;
        session
            .load(&self.source, &self.filename)
            .map_err(|failure| told(&failure))?;
        let task = row.to_value();
        if self.resets {
            let arguments = Map::from_iter([("task".to_owned(), task.clone())]);
            session
                .evaluate(RESET, &arguments)
                .map_err(|failure| format!("`{RESET}`: {}", told(&failure)))?;
        }
        Ok(Box::new(PythonSession { session, task }))
    }

    fn health(&self) -> Health {
        self.pool.health()
    }

    fn judges(&self) -> bool {
        self.rewards
    }
}

struct PythonSession {
    session: sandbox::Session,
    task: Value,
}

impl Session for PythonSession {
    fn call(&mut self, call: &ToolCall) -> Observation {
        match self.session.call(&call.name, &call.arguments, None) {
            Ok(text) => Observation {
                text,
                failed: false,
            },
            Err(failure) => Observation {
                text: format!("error: {failure}"),
                failed: true,
            },
        }
    }

    fn judge(&mut self, record: &Record) -> Result<Score, String> {
        let arguments = Map::from_iter([
            ("task".to_owned(), self.task.clone()),
            ("episode".to_owned(), record.to_value()),
        ]);
        self.session
            .evaluate(REWARD, &arguments)
            .map_err(|failure| told(&failure))
            .and_then(|value| read_score(&value))
            .map_err(|problem| format!("`{REWARD}`: {problem}"))
    }
}

//! Files of one JSON object a line: reading them, and saying what is wrong with a line and
//! where. Knows nothing of what the objects mean.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::EnvError;

/// What is wrong with a line, and in which field.
#[derive(Clone, Debug, PartialEq)]
pub struct LineProblem {
    /// `None` where the line as a whole is to blame.
    pub field: Option<String>,
    /// What was found, and what was expected.
    pub problem: String,
}

impl LineProblem {
    pub(crate) fn of_line(problem: impl Into<String>) -> Self {
        Self {
            field: None,
            problem: problem.into(),
        }
    }

    pub(crate) fn in_field(name: &str, problem: impl Into<String>) -> Self {
        Self {
            field: Some(name.to_owned()),
            problem: problem.into(),
        }
    }

    /// The error of a file.
    pub(crate) fn at(self, path: &Path, place: impl Into<Place>) -> EnvError {
        EnvError::Line {
            path: path.to_owned(),
            place: place.into(),
            field: self.field,
            problem: self.problem,
        }
    }
}

/// Where a file says something. Both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line of text.
    Line(usize),
    /// A row of a file that has no line for each of them.
    Row(usize),
}

impl From<usize> for Place {
    fn from(line: usize) -> Self {
        Self::Line(line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row}"),
        }
    }
}

/// The lines of a file that are not blank, with their numbers from 1.
pub(crate) fn read_lines(path: &Path) -> Result<Vec<(usize, String)>, EnvError> {
    let text = fs::read_to_string(path).map_err(|source| EnvError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect())
}

/// The fields of a line that have not been taken yet.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn new(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    pub(crate) fn parse(line: &str) -> Result<Self, LineProblem> {
        serde_json::from_str(line)
            .map(Self)
            .map_err(|error| LineProblem::of_line(format!("not a JSON object: {error}")))
    }

    /// Every field that was not taken.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, LineProblem> {
        self.optional(name)?
            .ok_or_else(|| LineProblem::in_field(name, "missing"))
    }

    /// `null` is the same as nothing. A string is taken as it is where `T` is one, else as
    /// text that holds JSON.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, LineProblem> {
        let read = match self.0.shift_remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => serde_json::from_value(Value::String(text.clone()))
                .or_else(|_| serde_json::from_str(&text)),
            Some(value) => serde_json::from_value(value),
        };
        read.map(Some)
            .map_err(|error| LineProblem::in_field(name, error.to_string()))
    }
}

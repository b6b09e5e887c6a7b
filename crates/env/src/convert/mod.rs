//! Files of tasks from one form into another, by way of the rows of [`crate::own`], which can
//! hold whatever the others have. What a form cannot hold is said.

mod columns;
mod ftrl;
mod toolhop;
mod trl;
mod verl;

use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;

use crate::jsonl::LineProblem;
use crate::own::TaskRow;
use crate::{EnvError, table};

/// How a file of tasks is written. Each may be JSON lines, a JSON list, or Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Ours: [`TaskRow`].
    Own,
    /// FTRL's, and MatchTIR's with their gold calls: [`crate::ftrl::Row`].
    Ftrl,
    /// ToolHop's, which can only be read: [`crate::toolhop::ToolHopRow`].
    ToolHop,
    /// verl's table: `prompt`, `data_source`, `ability`, `reward_model`, `extra_info`; all else
    /// as columns of its own.
    Verl,
    /// TRL's conversational table: `prompt`, and an expert's trace as its `completion`, or both
    /// as `messages`; `tools`; all else as columns of its own.
    Trl,
}

/// What came of a conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversion {
    /// Rows that were written: all that were read.
    pub rows: usize,
    /// One sentence for each thing that the new form does not hold.
    pub lost: Vec<String>,
}

/// Reads a file in one form and writes it in another. The first row that cannot be read is an
/// error.
pub fn convert(from: Form, input: &Path, to: Form, output: &Path) -> Result<Conversion, EnvError> {
    write(to, output, &read(from, input)?)
}

/// The tasks of a file.
pub fn read(form: Form, path: &Path) -> Result<Vec<TaskRow>, EnvError> {
    let rows = table::read(path)?.into_iter().enumerate();
    rows.map(|(index, (place, fields))| {
        let row = fields.and_then(|fields| match form {
            Form::Own => TaskRow::read(fields),
            Form::Ftrl => ftrl::read(fields, index),
            Form::ToolHop => toolhop::read(fields),
            Form::Verl => verl::read(fields, index),
            Form::Trl => trl::read(fields, index),
        });
        row.map_err(|problem| problem.at(path, place))
    })
    .collect()
}

/// The tasks of a file of FTRL's rows, and behind each one for every turn of its traces that
/// calls, to go on from there ([`crate::ftrl::Row::prefixes`]).
pub fn read_prefixes(path: &Path, traces: &Path) -> Result<Vec<TaskRow>, EnvError> {
    let rows = crate::ftrl::read_prefixes(path, traces)?;
    Ok(rows.into_iter().map(ftrl::task).collect())
}

/// Writes tasks, and says what the form does not hold of them.
pub fn write(form: Form, path: &Path, rows: &[TaskRow]) -> Result<Conversion, EnvError> {
    let mut lost = Lost::default();
    let written = match form {
        Form::Own => Ok(rows.iter().map(own).collect()),
        Form::Ftrl => ftrl::write(rows, &mut lost),
        Form::ToolHop => Err("ToolHop's form can only be read\n\
                              hint: write `ftrl`, which has Python tools too"
            .to_owned()),
        Form::Verl => Ok(verl::write(rows, &mut lost)),
        Form::Trl => Ok(trl::write(rows, &mut lost)),
    };
    let written = written.map_err(|problem| EnvError::Form {
        path: path.to_owned(),
        problem,
    })?;
    table::write(path, &written)?;
    Ok(Conversion {
        rows: written.len(),
        lost: lost.sentences(),
    })
}

fn own(row: &TaskRow) -> table::Row {
    match serde_json::to_value(row) {
        Ok(Value::Object(row)) => row,
        other => unreachable!("a row is an object, and not {other:?}"),
    }
}

/// What was left out, and of how many rows.
#[derive(Default)]
struct Lost(IndexMap<String, usize>);

impl Lost {
    fn note(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn sentences(self) -> Vec<String> {
        let sentence = |(what, rows)| match rows {
            1 => format!("1 row: {what}"),
            rows => format!("{rows} rows: {what}"),
        };
        self.0.into_iter().map(sentence).collect()
    }
}

/// The id of a row that may have none: its number, from 0.
fn id_of(value: Option<Value>, index: usize) -> String {
    match value {
        None => index.to_string(),
        Some(Value::String(id)) => id,
        Some(other) => other.to_string(),
    }
}

/// Answers as a table has them: one text, or a list of those that are accepted.
fn read_answers(field: &str, value: Option<Value>) -> Result<Vec<String>, LineProblem> {
    let text = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => {
            let expected = "expected a text, or a list of those that are accepted";
            Err(LineProblem::in_field(field, format!("{other}, {expected}")))
        }
    };
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(answers)) => answers.into_iter().map(text).collect(),
        Some(answer) => Ok(vec![text(answer)?]),
    }
}

/// One text for each row, or one list where any row has several: a column has one type.
fn write_answers(rows: &[TaskRow]) -> impl Fn(&TaskRow) -> Value {
    let as_lists = rows.iter().any(|row| row.answers.len() > 1);
    move |row| match row.answers.as_slice() {
        _ if as_lists => Value::from(row.answers.clone()),
        [] => Value::Null,
        [answer, ..] => Value::from(answer.clone()),
    }
}

//! What tables have no name of their own for, as columns: lists and objects as text that holds
//! JSON, since a column's values must be alike.

use serde_json::Value;

use super::Lost;
use crate::jsonl::{Fields, LineProblem};
use crate::own::TaskRow;
use crate::python_json::python_json;
use crate::table::Row;

/// Adds what a row has beside its id, prompt, scenario and answers; `trace` only where the
/// table has no other place for it.
pub(super) fn add_rest(columns: &mut Row, row: &TaskRow, with_trace: bool, lost: &mut Lost) {
    let json = |value: &Value| python_json(value).expect("a row is plain JSON");
    let text = |value: Value| Value::String(json(&value));
    if let Some(tools) = &row.tools {
        columns.insert("tools".to_owned(), text(Value::from(tools.clone())));
    }
    if let Some(suite) = &row.suite {
        columns.insert("suite".to_owned(), Value::from(suite.clone()));
    }
    if let Some(goldens) = &row.goldens {
        let goldens = serde_json::to_value(goldens).expect("goldens are plain JSON");
        columns.insert("goldens".to_owned(), text(goldens));
    }
    if let Some(trace) = row.trace.as_ref().filter(|_| with_trace) {
        let trace = serde_json::to_value(trace).expect("a trace is plain JSON");
        columns.insert("trace".to_owned(), text(trace));
    }
    for (name, value) in &row.extra {
        if columns.contains_key(name) {
            lost.note(format!("`{name}`, whose name means something else there"));
            continue;
        }
        let value = match value {
            Value::Array(_) | Value::Object(_) => text(value.clone()),
            plain => plain.clone(),
        };
        columns.insert(name.clone(), value);
    }
}

/// Takes what [`add_rest`] adds; every column that is left is an extra.
pub(super) fn take_rest(mut fields: Fields, row: &mut TaskRow) -> Result<(), LineProblem> {
    row.tools = fields.optional("tools")?;
    row.suite = fields.optional("suite")?;
    row.goldens = fields.optional("goldens")?;
    if row.trace.is_none() {
        row.trace = fields.optional("trace")?;
    }
    let parsed = |value: Value| match &value {
        Value::String(text) if text.starts_with(['[', '{']) => {
            serde_json::from_str(text).unwrap_or(value)
        }
        _ => value,
    };
    let rest = fields.rest().into_iter();
    let rest = rest.filter(|(_, value)| !value.is_null());
    row.extra
        .extend(rest.map(|(name, value)| (name, parsed(value))));
    Ok(())
}

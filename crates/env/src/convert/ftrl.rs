//! FTRL's rows: Python sources of the tools, sub-answers by tool, gold calls.

use episode::Trace;
use indexmap::IndexMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Lost;
use crate::ftrl::{GoldCall, Row};
use crate::jsonl::{Fields, LineProblem};
use crate::own::TaskRow;
use crate::table;

pub(super) fn read(fields: Fields, index: usize) -> Result<TaskRow, LineProblem> {
    let mut row = Row::read(fields)?;
    row.id.get_or_insert_with(|| index.to_string());
    Ok(task(row))
}

/// A row that has an id.
pub(super) fn task(row: Row) -> TaskRow {
    let mut extra = Map::new();
    extra.insert("codes".to_owned(), json!(row.codes));
    if row.solve_rate != 0.0 {
        extra.insert("solve_rate".to_owned(), json!(row.solve_rate));
    }
    let optional = [
        ("split", row.split.map(Value::from)),
        ("ground_truth", row.ground_truth.map(|calls| json!(calls))),
        ("world", row.world),
    ];
    for (name, value) in optional {
        extra.extend(value.map(|value| (name.to_owned(), value)));
    }
    TaskRow {
        id: row.id.unwrap_or_default(),
        scenario: Some(row.data_source),
        messages: row.messages,
        tools: Some(row.tools),
        answers: row.answer.into_iter().collect(),
        goldens: Some(row.unsolved_set),
        extra,
        ..TaskRow::default()
    }
}

pub(super) fn write(rows: &[TaskRow], lost: &mut Lost) -> Result<Vec<table::Row>, String> {
    let rows = rows.iter().enumerate();
    rows.map(|(index, task)| {
        let row = row(task, index, lost).map_err(|it| format!("task `{}`: {it}", task.id))?;
        match serde_json::to_value(row) {
            Ok(Value::Object(row)) => Ok(row),
            other => unreachable!("a row is an object, and not {other:?}"),
        }
    })
    .collect()
}

fn row(task: &TaskRow, index: usize, lost: &mut Lost) -> Result<Row, String> {
    let tools = task.tools.clone().unwrap_or_default();
    if tools.is_empty() || !tools.iter().all(Value::is_object) {
        return Err("FTRL's tasks describe their tools, and this one does not\n\
                    hint: give it `tools` with a JSON schema for each"
            .to_owned());
    }
    let mut extra = task.extra.clone();
    let codes: Option<IndexMap<String, String>> = take(&mut extra, "codes")?;
    if codes.is_none() {
        lost.note(
            "no `codes`: FTRL's tools are Python sources, and without them nobody can run them",
        );
    }
    if task.suite.is_some() {
        lost.note("`suite`, for which FTRL has no place");
    }
    if task.answers.len() > 1 {
        lost.note("all answers but the first: FTRL has one");
    }
    let recorded: Option<Vec<GoldCall>> = take(&mut extra, "ground_truth")?;
    let row = Row {
        messages: task.messages.clone(),
        tools,
        codes: codes.unwrap_or_default(),
        unsolved_set: task.goldens.clone().unwrap_or_default(),
        solve_rate: take(&mut extra, "solve_rate")?.unwrap_or(0.0),
        data_source: task.scenario.clone().unwrap_or_else(|| "own".to_owned()),
        split: take(&mut extra, "split")?,
        answer: task.answers.first().cloned(),
        ground_truth: gold_calls(recorded, task.trace.as_ref(), lost),
        id: Some(task.id.clone()).filter(|id| *id != index.to_string()),
        world: extra.shift_remove("world").map(text),
    };
    for name in extra.keys() {
        lost.note(format!("`{name}`, for which FTRL has no place"));
    }
    Ok(row)
}

/// The calls of a trace are all that FTRL's form, as MatchTIR extends it, has room for.
fn gold_calls(
    recorded: Option<Vec<GoldCall>>,
    trace: Option<&Trace>,
    lost: &mut Lost,
) -> Option<Vec<GoldCall>> {
    let Some(trace) = trace else { return recorded };
    let calls = trace.turns.iter().flat_map(|turn| &turn.calls);
    let calls: Vec<GoldCall> = calls
        .map(|call| GoldCall {
            name: call.name.clone(),
            parameters: call.arguments.clone(),
        })
        .collect();
    match recorded {
        Some(recorded) if recorded != calls => {
            lost.note("`trace`: its calls are others than those of `ground_truth`, which are kept");
            Some(recorded)
        }
        _ => {
            lost.note("of `trace` all but its calls, which are kept as `ground_truth`");
            Some(calls)
        }
    }
}

/// The tool world's tables are text in FTRL's form.
fn text(value: Value) -> Value {
    match value {
        Value::String(_) => value,
        other => Value::String(other.to_string()),
    }
}

fn take<T: DeserializeOwned>(
    extra: &mut Map<String, Value>,
    name: &str,
) -> Result<Option<T>, String> {
    let value = extra.shift_remove(name);
    let mut fields = Fields::new(
        value
            .map(|value| (name.to_owned(), value))
            .into_iter()
            .collect(),
    );
    let read = fields.optional(name);
    read.map_err(|problem| format!("`{name}`: {}", problem.problem))
}

//! Traces as recorded calls: a list of calls with what each returned, without reasoning.

use std::collections::BTreeMap;

use episode::{Task, ToolCall, Trace, TraceTurn};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer_text;
use crate::jsonl::{Fields, LineProblem};

#[derive(Deserialize)]
struct RecordedCall {
    name: String,
    parameters: Map<String, Value>,
    output: String,
    turn: Option<usize>,
}

/// What a line says of how its task was solved.
pub(super) fn read(fields: &mut Fields, task: &Task) -> Result<Trace, LineProblem> {
    let calls: Vec<RecordedCall> = fields.required("calls")?;
    let answer: Option<String> = fields.optional("answer")?;
    let is_complete = fields.optional("complete")?.unwrap_or(true);
    Ok(Trace {
        turns: into_turns(calls),
        answer: answer
            .filter(|_| is_complete)
            .map(|answer| answer_text(task, &answer)),
        ..Trace::default()
    })
}

/// Calls of one `turn` go together, in their order; a call without one has its own.
fn into_turns(calls: Vec<RecordedCall>) -> Vec<TraceTurn> {
    let mut turns: BTreeMap<usize, TraceTurn> = BTreeMap::new();
    for (index, call) in calls.into_iter().enumerate() {
        let turn = turns.entry(call.turn.unwrap_or(index)).or_default();
        turn.calls.push(ToolCall {
            name: call.name,
            arguments: call.parameters,
        });
        turn.results.push(call.output);
    }
    turns.into_values().collect()
}

//! Expert traces: read from files in two forms, written in ours, replayed against a suite.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use episode::{Score, Task, ToolCall, Trace, TraceTurn};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::jsonl::{Fields, LineProblem, read_lines};
use crate::{EnvError, Suite};

/// Reads traces for these tasks, one a line, in either form:
///
/// * ours, the JSON of [`Trace`]: `task`, `turns`, `answer_reasoning`, `answer`;
/// * recorded calls: `row` (the task's place, from 0) or `id`, `calls` with `name`,
///   `parameters`, `output` and `turn`, then `answer` and `complete`. The answer is put in
///   `<answer>` tags where the task's prompt asks for them.
///
/// Unfinished traces (`complete` is false) are returned too; they end with their last
/// observation, without an answer.
pub fn load_traces(path: &Path, tasks: &[Task]) -> Result<Vec<Trace>, EnvError> {
    let known = tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    read_lines(path)?
        .into_iter()
        .map(|(line, text)| {
            read_trace(&text, tasks, &known).map_err(|problem| problem.at(path, line))
        })
        .collect()
}

/// Writes traces in our form.
pub fn write_traces(path: &Path, traces: &[Trace]) -> Result<(), EnvError> {
    let lines: String = traces
        .iter()
        .map(|trace| serde_json::to_string(trace).expect("a trace is plain JSON") + "\n")
        .collect();
    fs::write(path, lines).map_err(|source| EnvError::File {
        path: path.to_owned(),
        source,
    })
}

/// The last turn's text, in the form that the task's prompt asks for.
pub(crate) fn answer_text(task: &Task, answer: &str) -> String {
    if asks_for_answer_tags(task) {
        format!("<answer>{answer}</answer>")
    } else {
        answer.to_owned()
    }
}

/// Whether the task's prompt wants the answer in `<answer>` tags.
pub(crate) fn asks_for_answer_tags(task: &Task) -> bool {
    let mut contents = task.messages.iter().map(|message| &message.content);
    contents.any(|content| content.contains("<answer>"))
}

fn read_trace(
    text: &str,
    tasks: &[Task],
    known: &HashMap<&str, &Task>,
) -> Result<Trace, LineProblem> {
    let mut fields = Fields::parse(text)?;
    let trace = if fields.has("turns") {
        ours(&mut fields)?
    } else {
        recorded(&mut fields, tasks, known)?
    };
    let task = find(known, "task", &trace.task)?;
    for call in trace.turns.iter().flat_map(|turn| &turn.calls) {
        let is_offered = task
            .tools
            .iter()
            .any(|tool| tool["function"]["name"] == call.name.as_str());
        if !is_offered {
            let problem = format!("task `{}` has no tool `{}`", task.id, call.name);
            return Err(LineProblem::in_field("calls", problem));
        }
    }
    Ok(trace)
}

fn find<'a>(
    known: &HashMap<&str, &'a Task>,
    field: &str,
    id: &str,
) -> Result<&'a Task, LineProblem> {
    known
        .get(id)
        .copied()
        .ok_or_else(|| LineProblem::in_field(field, format!("no task has the id `{id}`")))
}

fn ours(fields: &mut Fields) -> Result<Trace, LineProblem> {
    let turns: Vec<TraceTurn> = fields.required("turns")?;
    if let Some(index) = turns
        .iter()
        .position(|turn| turn.calls.len() != turn.results.len())
    {
        let problem = format!("turn {index} needs one result for each of its calls");
        return Err(LineProblem::in_field("turns", problem));
    }
    Ok(Trace {
        task: fields.required("task")?,
        turns,
        answer_reasoning: fields.optional("answer_reasoning")?.unwrap_or_default(),
        answer: fields.optional("answer")?,
    })
}

#[derive(Deserialize)]
struct RecordedCall {
    name: String,
    parameters: Map<String, Value>,
    output: String,
    turn: Option<usize>,
}

fn recorded(
    fields: &mut Fields,
    tasks: &[Task],
    known: &HashMap<&str, &Task>,
) -> Result<Trace, LineProblem> {
    let task = task_of_recording(fields, tasks, known)?;
    let calls: Vec<RecordedCall> = fields.required("calls")?;
    let answer: Option<String> = fields.optional("answer")?;
    let is_complete = fields.optional("complete")?.unwrap_or(true);
    Ok(Trace {
        task: task.id.clone(),
        turns: into_turns(calls),
        answer_reasoning: String::new(),
        answer: answer
            .filter(|_| is_complete)
            .map(|answer| answer_text(task, &answer)),
    })
}

fn task_of_recording<'a>(
    fields: &mut Fields,
    tasks: &'a [Task],
    known: &HashMap<&str, &'a Task>,
) -> Result<&'a Task, LineProblem> {
    if fields.has("row") {
        let row: usize = fields.required("row")?;
        return tasks.get(row).ok_or_else(|| {
            let problem = format!("row {row} is not among the {} tasks", tasks.len());
            LineProblem::in_field("row", problem)
        });
    }
    match fields.required("id")? {
        Value::String(id) => find(known, "id", &id),
        other => find(known, "id", &other.to_string()),
    }
}

/// Calls of one `turn` go together, in their order; a call without one has its own.
fn into_turns(calls: Vec<RecordedCall>) -> Vec<TraceTurn> {
    let mut turns: BTreeMap<usize, TraceTurn> = BTreeMap::new();
    for (index, call) in calls.into_iter().enumerate() {
        let turn = turns
            .entry(call.turn.unwrap_or(index))
            .or_insert_with(|| TraceTurn {
                reasoning: String::new(),
                calls: Vec::new(),
                results: Vec::new(),
            });
        turn.calls.push(ToolCall {
            name: call.name,
            arguments: call.parameters,
        });
        turn.results.push(call.output);
    }
    turns.into_values().collect()
}

/// What came of running a trace's calls again.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayReport {
    /// Number of calls that were run.
    pub calls: usize,
    /// Calls that did not return what was recorded.
    pub mismatches: Vec<Mismatch>,
    /// The episode's score after the last call.
    pub score: Score,
}

/// A call that did not return what was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// Which turn, from 0.
    pub turn: usize,
    /// The tool.
    pub tool: String,
    /// What the trace says.
    pub recorded: String,
    /// What the tool returned.
    pub returned: String,
}

/// Runs every call of a trace in a fresh environment. The trace's task is one of the suite's,
/// as [`load_traces`] makes sure.
pub fn replay(suite: &dyn Suite, trace: &Trace) -> ReplayReport {
    let task = suite
        .tasks()
        .iter()
        .find(|task| task.id == trace.task)
        .expect("a trace that is replayed names a task of the suite");
    let mut environment = suite.open(task);
    let mut calls = 0;
    let mut mismatches = Vec::new();
    for (index, turn) in trace.turns.iter().enumerate() {
        for (call, recorded) in turn.calls.iter().zip(&turn.results) {
            let returned = environment.call(call).text;
            calls += 1;
            if returned != *recorded {
                mismatches.push(Mismatch {
                    turn: index,
                    tool: call.name.clone(),
                    recorded: recorded.clone(),
                    returned,
                });
            }
        }
    }
    ReplayReport {
        calls,
        mismatches,
        score: environment.score(),
    }
}

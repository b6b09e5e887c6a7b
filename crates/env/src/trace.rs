//! Expert traces: read from files in three forms, written in ours, replayed against a suite.

mod messages;
mod recorded;
mod replay;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use episode::{Task, Trace, TraceTurn};
use serde_json::Value;

pub(crate) use self::messages::trace_of_messages;
pub use self::replay::{Mismatch, ReplayReport, replay};
use crate::EnvError;
use crate::jsonl::{Fields, LineProblem, read_lines};

/// Reads traces for these tasks, one a line, in any of three forms:
///
/// * ours, the JSON of [`Trace`]: `task`, `turns`, `answer_reasoning`, `answer`;
/// * `messages` of a chat, as OpenAI's API has them: the assistant's with `reasoning_content`,
///   `content` and `tool_calls`, the tools' with `content`. What stands before the first of the
///   assistant's is the prompt and is passed over; text beside calls counts as reasoning;
/// * recorded calls: `calls` with `name`, `parameters`, `output` and `turn`, then `answer` and
///   `complete`. The answer is put in `<answer>` tags where the task's prompt asks for them.
///
/// Each names its task by `task` or `id`, or by `row`, its place from 0, and may have `source`
/// and `verified`. Unfinished traces (`complete` is false) are returned too; they end
/// with their last observation, without an answer.
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
    let forms = ["turns", "messages", "calls"];
    let Some(form) = forms.into_iter().find(|form| fields.has(form)) else {
        let hint = "hint: a trace is `turns`, or a chat's `messages`, or recorded `calls`";
        let problem = format!("missing, and so are `turns` and `messages`\n{hint}");
        return Err(LineProblem::in_field("calls", problem));
    };
    let task = task_of(&mut fields, tasks, known)?;
    let trace = match form {
        "turns" => ours(&mut fields)?,
        "messages" => messages::read(&mut fields)?,
        _ => recorded::read(&mut fields, task)?,
    };
    let trace = Trace {
        task: task.id.clone(),
        source: fields.optional("source")?.unwrap_or_default(),
        verified: fields.optional("verified")?,
        ..trace
    };
    for call in trace.turns.iter().flat_map(|turn| &turn.calls) {
        let is_offered = task
            .tools
            .iter()
            .any(|tool| tool["function"]["name"] == call.name.as_str());
        if !is_offered {
            let problem = format!("task `{}` has no tool `{}`", task.id, call.name);
            return Err(LineProblem::in_field(form, problem));
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
        turns,
        answer_reasoning: fields.optional("answer_reasoning")?.unwrap_or_default(),
        answer: fields.optional("answer")?,
        ..Trace::default()
    })
}

/// The task that a line names by its id or by its place.
fn task_of<'a>(
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
    let field = if fields.has("id") { "id" } else { "task" };
    match fields.required(field)? {
        Value::String(id) => find(known, field, &id),
        other => find(known, field, &other.to_string()),
    }
}

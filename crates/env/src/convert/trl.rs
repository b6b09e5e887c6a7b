//! TRL's conversational table (<https://huggingface.co/docs/trl/dataset_formats>): a prompt,
//! and what an expert did as its completion, on which alone SFT trains.

use episode::{Message, Role, Trace, TraceTurn};
use serde_json::Value;

use super::columns::{add_rest, take_rest};
use super::{Lost, id_of, read_answers, write_answers};
use crate::jsonl::{Fields, LineProblem};
use crate::message::{read_messages, write_messages};
use crate::own::TaskRow;
use crate::table::Row;
use crate::trace::trace_of_messages;

pub(super) fn read(mut fields: Fields, index: usize) -> Result<TaskRow, LineProblem> {
    let id = id_of(fields.optional("id")?, index);
    let (field, prompt, completion) = conversation(&mut fields)?;
    let answers = fields.optional("answer")?;
    let mut row = TaskRow {
        messages: read_messages(field, prompt)?,
        scenario: fields.optional("scenario")?,
        answers: read_answers("answer", answers)?,
        ..TaskRow::default()
    };
    if !completion.is_empty() {
        row.trace = Some(Trace {
            task: id.clone(),
            source: fields.optional("source")?.unwrap_or_default(),
            verified: fields.optional("verified")?,
            ..trace_of_messages(completion)?
        });
    }
    row.id = id;
    take_rest(fields, &mut row)?;
    Ok(row)
}

/// The prompt, and what the assistant and its tools said to it; the field is the prompt's.
fn conversation(
    fields: &mut Fields,
) -> Result<(&'static str, Vec<Value>, Vec<Value>), LineProblem> {
    if fields.has("prompt") {
        let prompt = list(fields, "prompt")?;
        let completion = match fields.has("completion") {
            true => list(fields, "completion")?,
            false => Vec::new(),
        };
        return Ok(("prompt", prompt, completion));
    }
    let mut messages = list(fields, "messages")?;
    let first = messages.iter().position(|it| it["role"] == "assistant");
    let completion = messages.split_off(first.unwrap_or(messages.len()));
    Ok(("messages", messages, completion))
}

/// Messages; `null` is none.
fn list(fields: &mut Fields, name: &str) -> Result<Vec<Value>, LineProblem> {
    let expected = "expected messages, each with `role` and `content`\n\
                    hint: TRL's other formats have text where the conversational one has messages";
    match fields.optional::<Value>(name)? {
        Some(Value::Array(messages)) => Ok(messages),
        None if name == "completion" => Ok(Vec::new()),
        None => Err(LineProblem::in_field(name, format!("missing, {expected}"))),
        Some(_) => Err(LineProblem::in_field(name, format!("no list, {expected}"))),
    }
}

pub(super) fn write(rows: &[TaskRow], lost: &mut Lost) -> Vec<Row> {
    let answers = write_answers(rows);
    let row = |task: &TaskRow| {
        let mut columns = Row::from_iter([
            ("id".to_owned(), task.id.clone().into()),
            ("prompt".to_owned(), write_messages(&task.messages).into()),
        ]);
        let mut add = |name: &str, value: Option<Value>| {
            columns.extend(value.map(|value| (name.to_owned(), value)));
        };
        if let Some(trace) = &task.trace {
            add(
                "completion",
                Some(write_messages(&completion(trace)).into()),
            );
            let source = Some(trace.source.clone()).filter(|source| !source.is_empty());
            add("source", source.map(Value::from));
            add("verified", trace.verified.map(Value::from));
        }
        add("answer", Some(answers(task)).filter(|it| !it.is_null()));
        add("scenario", task.scenario.clone().map(Value::from));
        add_rest(&mut columns, task, false, lost);
        columns
    };
    rows.iter().map(row).collect()
}

/// A trace as messages.
fn completion(trace: &Trace) -> Vec<Message> {
    let mut messages: Vec<Message> = trace.turns.iter().flat_map(exchange).collect();
    if let Some(answer) = &trace.answer {
        messages.push(Message {
            reasoning_content: reasoning(&trace.answer_reasoning),
            ..Message::new(Role::Assistant, answer)
        });
    }
    messages
}

fn exchange(turn: &TraceTurn) -> Vec<Message> {
    let mut messages = vec![Message {
        reasoning_content: reasoning(&turn.reasoning),
        tool_calls: turn.calls.clone(),
        ..Message::new(Role::Assistant, &turn.content)
    }];
    let results = turn.results.iter();
    messages.extend(results.map(|result| Message::new(Role::Tool, result)));
    let reply = turn.reply.iter();
    messages.extend(reply.map(|reply| Message::new(Role::User, reply)));
    messages
}

fn reasoning(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

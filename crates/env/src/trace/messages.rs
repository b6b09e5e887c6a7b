//! Traces as the messages of a chat, in the form of OpenAI's API: what the assistant said and
//! called, and what the tools said to it.

use std::iter::Peekable;

use episode::{ToolCall, Trace, TraceTurn};
use serde::Deserialize;
use serde_json::Value;

use crate::jsonl::{Fields, LineProblem};
use crate::message::read_call;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<String>,
    #[serde(alias = "reasoning")]
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<Value>>,
    tool_call_id: Option<String>,
}

/// What the assistant says in one message.
struct Words {
    reasoning: String,
    text: String,
}

impl Message {
    /// Its reasoning is a field of its own, or stands in tags before the text.
    fn words(&self) -> Words {
        let content = self.content.as_deref().unwrap_or_default();
        let (reasoning, text) = match (&self.reasoning_content, content.split_once(THINK_END)) {
            (Some(reasoning), _) => (reasoning.as_str(), content),
            (None, Some((reasoning, text))) => {
                let reasoning = reasoning.trim_start();
                (reasoning.strip_prefix(THINK).unwrap_or(reasoning), text)
            }
            (None, None) => ("", content),
        };
        Words {
            reasoning: reasoning.trim().to_owned(),
            text: text.trim().to_owned(),
        }
    }
}

/// What a line says of how its task was solved.
pub(super) fn read(fields: &mut Fields) -> Result<Trace, LineProblem> {
    trace_of_messages(fields.required("messages")?)
}

/// What a conversation says of how its task was solved. An answer after which the user goes on
/// is a turn like those that call.
pub(crate) fn trace_of_messages(values: Vec<Value>) -> Result<Trace, LineProblem> {
    let mut messages = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let message: Message =
            serde_json::from_value(value).map_err(|error| wrong(index, &error.to_string()))?;
        messages.push(message);
    }
    let of_prompt = |message: &&Message| matches!(&*message.role, "system" | "developer" | "user");
    let prompt = messages.iter().take_while(of_prompt).count();
    let mut rest = messages.iter().enumerate().skip(prompt).peekable();
    let mut trace = Trace::default();
    while let Some((index, message)) = rest.next() {
        if message.role != "assistant" {
            return Err(wrong(index, &unexpected(&message.role)));
        }
        let words = message.words();
        let asked = message.tool_calls.as_deref().unwrap_or_default();
        if !asked.is_empty() {
            let (calls, results) = exchange(index, asked, &mut rest)?;
            trace.turns.push(TraceTurn {
                reasoning: joined(words),
                calls,
                results,
                ..TraceTurn::default()
            });
            continue;
        }
        if words.text.is_empty() {
            return Err(wrong(index, "it neither answers nor calls a tool"));
        }
        if let Some((_, user)) = rest.next_if(|(_, message)| message.role == "user") {
            trace.turns.push(TraceTurn {
                reasoning: words.reasoning,
                content: words.text,
                reply: Some(user.content.clone().unwrap_or_default()),
                ..TraceTurn::default()
            });
            continue;
        }
        if rest.peek().is_some() {
            return Err(wrong(index, "it calls no tool, but is not the last one"));
        }
        trace.answer_reasoning = words.reasoning;
        trace.answer = Some(words.text);
    }
    Ok(trace)
}

/// A turn has no place for text beside its calls: it becomes the end of the reasoning.
fn joined(words: Words) -> String {
    let both = [words.reasoning, words.text];
    let said: Vec<String> = both.into_iter().filter(|text| !text.is_empty()).collect();
    said.join("\n\n")
}

/// The calls of the message at `index`, and what the tools' messages behind it answer.
fn exchange<'a>(
    index: usize,
    asked: &[Value],
    rest: &mut Peekable<impl Iterator<Item = (usize, &'a Message)>>,
) -> Result<(Vec<ToolCall>, Vec<String>), LineProblem> {
    let mut calls = Vec::new();
    let mut ids = Vec::new();
    for value in asked {
        calls.push(read_call(value).map_err(|problem| wrong(index, &problem))?);
        ids.push(value["id"].as_str());
    }
    let mut results: Vec<Option<String>> = vec![None; calls.len()];
    while let Some((at, said)) = rest.next_if(|(_, message)| message.role == "tool") {
        let place = match said.tool_call_id.as_deref() {
            Some(id) if ids.iter().any(Option::is_some) => {
                ids.iter().position(|known| *known == Some(id))
            }
            _ => results.iter().position(Option::is_none),
        };
        match place.map(|place| &mut results[place]) {
            Some(free @ None) => *free = Some(said.content.clone().unwrap_or_default()),
            Some(Some(_)) => return Err(wrong(at, "its call has been answered before")),
            None => return Err(wrong(at, "it answers none of the calls before it")),
        }
    }
    let (count, answered) = (calls.len(), results.iter().flatten().count());
    if answered < count {
        let problem = format!(
            "it makes {count} calls, of which the tools' messages behind it answer {answered}\n\
             hint: each call needs one message of the role `tool`, with its `content`"
        );
        return Err(wrong(index, &problem));
    }
    Ok((calls, results.into_iter().flatten().collect()))
}

fn unexpected(role: &str) -> String {
    let expected = "expected `assistant`";
    match role {
        "user" => format!(
            "its role is `user`, {expected}\n\
             hint: a user goes on after an answer, and not before it"
        ),
        _ => format!("its role is `{role}`, {expected}"),
    }
}

/// `index` counts from 0.
fn wrong(index: usize, problem: &str) -> LineProblem {
    LineProblem::in_field("messages", format!("message {index}: {problem}"))
}

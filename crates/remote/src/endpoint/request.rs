//! A turn's request as the endpoint reads it: the conversation so far, tools, limits, sampling.

use episode::{CallFormat, Message, Role, ToolCall};
use rollout::{Config, TurnRequest};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Value, json};
use std::io;

use super::Endpoint;
use super::reply::Reasoning;

/// What the model said in a turn beside what a message tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Its reasoning, as it came: apart, or within its text.
    pub(crate) thought: Option<Thought>,
    /// The whole text of a turn in which a call could not be read, its reasoning left out.
    pub(crate) unread: Option<String>,
}

/// Reasoning, by where it stood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Thought {
    Apart(Reasoning),
    /// With its tags.
    Within(String),
}

/// The body of a request. `said` are the turns of this episode so far, in order.
pub(crate) fn body(
    endpoint: &Endpoint,
    sampling: &Config,
    request: &TurnRequest<'_>,
    said: &[Said],
) -> String {
    let limit = match endpoint.max_completion_tokens {
        true => "max_completion_tokens",
        false => "max_tokens",
    };
    let mut body = Map::new();
    let mut set = |field: &str, value: Value| body.insert(field.to_owned(), value);
    set("model", json!(endpoint.model));
    set("messages", messages(request.messages, said).into());
    if request.calls == CallFormat::Tagged && !request.tools.is_empty() {
        set("tools", json!(request.tools));
    }
    set(limit, json!(request.max_tokens));
    set("temperature", json!(sampling.temperature));
    set("top_p", json!(sampling.top_p));
    // These are no fields of OpenAI's, so nothing is said of them that need not be.
    if sampling.top_k > 0 {
        set("top_k", json!(sampling.top_k));
    }
    if sampling.min_p > 0.0 {
        set("min_p", json!(sampling.min_p));
    }
    // Servers hold a seed in 32 bits with a sign, or more.
    set("seed", json!(request.seed.0 >> 33));
    if endpoint.stream {
        set("stream", json!(true));
    }
    for (field, value) in &endpoint.fields {
        match value {
            Value::Null => body.shift_remove(field),
            value => body.insert(field.clone(), value.clone()),
        };
    }
    Value::Object(body).to_string()
}

/// Messages with the ids that tie results to calls. What the model has said is sent back with
/// its reasoning; a turn with a call that could not be read as the text that it was, and what it
/// was told as a user's words, since servers refuse results of calls that they cannot read.
pub(crate) fn messages(messages: &[Message], said: &[Said]) -> Vec<Value> {
    let turns = messages.iter().filter(|it| it.role == Role::Assistant);
    let mut given = turns.count().saturating_sub(said.len());
    let mut said = said.iter();
    let mut out: Vec<Value> = Vec::new();
    let mut calls = 0;
    let mut unanswered: Vec<String> = Vec::new();
    let mut loose: Vec<&str> = Vec::new();
    for message in messages {
        if message.role == Role::Tool && unanswered.is_empty() {
            loose.push(&message.content);
            continue;
        }
        flush(&mut loose, &mut out);
        match message.role {
            Role::Tool => {
                let id = unanswered.remove(0);
                out.push(json!({
                    "role": "tool", "tool_call_id": id, "content": message.content,
                }));
            }
            Role::Assistant => {
                let extra = match given {
                    0 => said.next().cloned().unwrap_or_default(),
                    _ => Said::default(),
                };
                given = given.saturating_sub(1);
                let ids: Vec<String> = match extra.unread {
                    Some(_) => Vec::new(),
                    None => (message.tool_calls.iter().enumerate())
                        .map(|(at, _)| call_id(calls + at))
                        .collect(),
                };
                calls += ids.len();
                out.push(assistant(message, extra, &ids));
                unanswered = ids;
            }
            Role::System | Role::User => {
                out.push(json!({"role": message.role, "content": message.content}));
            }
        }
    }
    flush(&mut loose, &mut out);
    out
}

/// Results that belong to no call that was sent, as one message of the user.
fn flush(loose: &mut Vec<&str>, out: &mut Vec<Value>) {
    if !loose.is_empty() {
        out.push(json!({"role": "user", "content": loose.join("\n")}));
        loose.clear();
    }
}

fn assistant(message: &Message, said: Said, ids: &[String]) -> Value {
    let content = said.unread.unwrap_or_else(|| message.content.clone());
    let mut value = json!({"role": "assistant", "content": content});
    let given = message.reasoning_content.as_ref().map(|text| {
        Thought::Apart(Reasoning {
            field: "reasoning_content",
            text: text.clone(),
        })
    });
    match said.thought.or(given) {
        Some(Thought::Apart(Reasoning { field, text })) => value[field] = json!(text),
        Some(Thought::Within(text)) => value["content"] = json!(format!("{text}\n\n{content}")),
        None => {}
    }
    if !ids.is_empty() {
        let calls = message.tool_calls.iter().zip(ids).map(|(call, id)| {
            let function = json!({"name": call.name, "arguments": printed(&call.arguments)});
            json!({"id": id, "type": "function", "function": function})
        });
        value["tool_calls"] = calls.collect();
    }
    value
}

/// Nine letters and digits, which is what the strictest servers take.
fn call_id(number: usize) -> String {
    format!("call{:05}", number % 100_000)
}

/// A call as its text, for a turn reader.
pub(crate) fn tagged(call: &ToolCall) -> String {
    let name = json!(call.name);
    let json = format!(
        "{{\"name\": {name}, \"arguments\": {}}}",
        printed(&call.arguments)
    );
    // A tag within a text would be read as one.
    let json = json.replace("<tool_call>", "\\u003ctool_call>");
    let json = json.replace("</tool_call>", "\\u003c/tool_call>");
    format!("<tool_call>\n{json}\n</tool_call>")
}

/// JSON with the spaces that Python's `json.dumps` puts, as models are used to.
fn printed(arguments: &Map<String, Value>) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Spaced);
    (arguments.serialize(&mut serializer)).expect("a map of JSON values is JSON");
    String::from_utf8(out).expect("JSON is UTF-8")
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

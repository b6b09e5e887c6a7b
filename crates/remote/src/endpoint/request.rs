//! A turn's request as the endpoint reads it: the conversation so far, tools, limits, sampling.

use std::collections::VecDeque;
use std::io;

use episode::{CallFormat, Message, Role, ToolCall};
use rollout::{Config, TurnRequest};
use serde::Serialize;
use serde_json::ser::Formatter;
use serde_json::{Map, Value, json};

use super::reply::Reasoning;
use super::{Endpoint, History};

/// What the model said in a turn beside what a message tells of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Its reasoning, as it came: apart, or within its text.
    pub(crate) thought: Option<Thought>,
    /// All of it as text, without what ended it.
    pub(crate) text: String,
    /// The text without its reasoning, of a turn in which a call could not be read.
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
    set(
        "messages",
        messages(request.messages, said, endpoint.history).into(),
    );
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

/// Messages with the ids that tie results to calls. A turn with a call that could not be read is
/// sent as the text that it was, and what it was told as a user's words, since servers refuse
/// calls that they cannot read, and results without calls.
pub(crate) fn messages(messages: &[Message], said: &[Said], history: History) -> Vec<Value> {
    let turns = messages.iter().filter(|it| it.role == Role::Assistant);
    // A hint's turns stand before those of the model.
    let mut given = turns.count().saturating_sub(said.len());
    let mut said = said.iter();
    let mut printer = Printer::default();
    for message in messages {
        match message.role {
            Role::System | Role::User => {
                printer.push(json!({"role": message.role, "content": message.content}));
            }
            Role::Tool => printer.push_result(&message.content),
            Role::Assistant if given > 0 => {
                given -= 1;
                printer.push_turn(message, &Said::default(), History::Fields);
            }
            Role::Assistant => match said.next() {
                Some(said) => printer.push_turn(message, said, history),
                None => printer.push_turn(message, &Said::default(), History::Fields),
            },
        }
    }
    printer.finish()
}

#[derive(Default)]
struct Printer<'m> {
    messages: Vec<Value>,
    /// How many calls there have been.
    calls: usize,
    /// Whether the last turn was sent as text, which shows what its results are of.
    is_text: bool,
    /// The ids of the last turn's calls that have no result yet.
    unanswered: VecDeque<String>,
    /// Results that belong to no call that was sent.
    loose: Vec<&'m str>,
}

impl<'m> Printer<'m> {
    fn push(&mut self, message: Value) {
        self.tell_loose();
        self.messages.push(message);
    }

    fn push_result(&mut self, text: &'m str) {
        let id = match self.is_text {
            true => Some(self.next_id()),
            false => self.unanswered.pop_front(),
        };
        match id {
            Some(id) => self.push(json!({"role": "tool", "tool_call_id": id, "content": text})),
            None => self.loose.push(text),
        }
    }

    fn push_turn(&mut self, message: &Message, said: &Said, history: History) {
        self.unanswered.clear();
        self.is_text = history == History::Text;
        if self.is_text {
            self.push(json!({"role": "assistant", "content": said.text}));
            return;
        }
        let content = said.unread.as_ref().unwrap_or(&message.content);
        let mut value = json!({"role": "assistant", "content": content});
        match &said.thought {
            Some(_) if history == History::WithoutReasoning => {}
            Some(Thought::Apart(Reasoning { field, text })) => value[*field] = json!(text),
            Some(Thought::Within(text)) => value["content"] = json!(format!("{text}\n\n{content}")),
            None => {}
        }
        if said.unread.is_none() && !message.tool_calls.is_empty() {
            let calls = message.tool_calls.iter().map(|call| {
                let id = self.next_id();
                self.unanswered.push_back(id.clone());
                let function = json!({"name": call.name, "arguments": printed(&call.arguments)});
                json!({"id": id, "type": "function", "function": function})
            });
            value["tool_calls"] = calls.collect();
        }
        self.push(value);
    }

    fn finish(mut self) -> Vec<Value> {
        self.tell_loose();
        self.messages
    }

    fn tell_loose(&mut self) {
        if !self.loose.is_empty() {
            let told = std::mem::take(&mut self.loose).join("\n");
            self.messages.push(json!({"role": "user", "content": told}));
        }
    }

    /// Nine letters and digits, which is what the strictest servers take.
    fn next_id(&mut self) -> String {
        self.calls += 1;
        format!("call{:05}", self.calls % 100_000)
    }
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

//! The exact texts that BFCL's own handlers for Qwen3 exchange with a model: a conversation as
//! the prompt of a text completion, and a reply as what of it goes into the conversation.
//!
//! pact's rollouts print conversations by the model's own template and keep turns as they were
//! sampled; this is what the official program would have sent in their place.

use std::fmt::Write;

use episode::Role;
use python::{Dict, Exception, JsonStyle, Value};

use crate::decode::{Handler, split_reasoning, tagged_calls};

const TOOLS: &str = "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n\
    You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
const TOOLS_END: &str = "\n</tools>\n\nFor each function call, return a json object with function name and \
    arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n\
    {\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";

/// A message of the conversation as the handlers keep it.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; empty where an assistant calls, whatever it said beside.
    pub content: String,
    /// What an assistant has thought.
    pub reasoning: String,
    /// What stood between an assistant's tags, as JSON of any form: not all of it need be calls.
    pub calls: Vec<Value>,
}

/// A reply, read.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Before the first `</think>`.
    pub reasoning: String,
    /// After the last: what is decoded, and what a result file keeps.
    pub answer: String,
    /// What the conversation remembers. Its calls are looked for in the whole reply, thoughts
    /// included.
    pub message: Message,
}

impl Message {
    /// What a user, a tool or the system says.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning: String::new(),
            calls: Vec::new(),
        }
    }

    /// Whether the assistant's turns before it are history: what a user says, unless it is a
    /// tool's result in disguise.
    fn is_query(&self) -> bool {
        let is_result = self.content.starts_with("<tool_response>")
            && self.content.ends_with("</tool_response>");
        self.role == Role::User && !is_result
    }
}

/// Reads what a model has sampled, without special tokens.
pub fn read_reply(sampled: &str, handler: Handler) -> Reply {
    let (reasoning, answer) = split_reasoning(sampled);
    let calls = match handler {
        Handler::Fc => tagged_calls(sampled),
        Handler::Prompting => Vec::new(),
    };
    let content = if calls.is_empty() { answer } else { "" };
    Reply {
        reasoning: reasoning.to_owned(),
        answer: answer.to_owned(),
        message: Message {
            role: Role::Assistant,
            content: content.to_owned(),
            reasoning: reasoning.to_owned(),
            calls,
        },
    }
}

/// The prompt that lets the assistant go on. `docs` are the functions of the `Fc` handler, none
/// for prompting. Reasoning is kept in the assistant's messages after the user's last. An
/// error, in Python's words, where a call of the history is none that can be printed: there
/// the official program loses the record.
pub fn prompt(messages: &[Message], docs: &[serde_json::Value]) -> Result<String, Exception> {
    let mut text = String::new();
    let system = messages.first().filter(|it| it.role == Role::System);
    let system = system.map(|message| message.content.as_str());
    if !docs.is_empty() {
        let before = system.map(|it| format!("{it}\n\n")).unwrap_or_default();
        write(
            &mut text,
            format_args!("<|im_start|>system\n{before}{TOOLS}"),
        );
        for doc in docs {
            let doc = python::json_dumps(&Value::from(doc), &JsonStyle::ascii())?;
            write(&mut text, format_args!("\n{doc}"));
        }
        write(&mut text, format_args!("{TOOLS_END}<|im_end|>\n"));
    } else if let Some(system) = system {
        write(
            &mut text,
            format_args!("<|im_start|>system\n{system}<|im_end|>\n"),
        );
    }

    let last = messages.len().saturating_sub(1);
    let last_query = messages.iter().rposition(Message::is_query).unwrap_or(last);
    for (at, message) in messages.iter().enumerate() {
        let content = &message.content;
        let is_tool = |at: usize| messages.get(at).is_some_and(|it| it.role == Role::Tool);
        match message.role {
            Role::System if at == 0 => {}
            Role::System => write(
                &mut text,
                format_args!("<|im_start|>system\n{content}<|im_end|>\n"),
            ),
            Role::User => write(
                &mut text,
                format_args!("<|im_start|>user\n{content}<|im_end|>\n"),
            ),
            Role::Tool => {
                let begins = at == 0 || !is_tool(at - 1);
                let before = if begins { "<|im_start|>user" } else { "" };
                let after = if is_tool(at + 1) { "" } else { "<|im_end|>\n" };
                write(
                    &mut text,
                    format_args!("{before}\n<tool_response>\n{content}\n</tool_response>{after}"),
                );
            }
            Role::Assistant => {
                text.push_str("<|im_start|>assistant\n");
                let thinks = at == last || !message.reasoning.is_empty();
                if at > last_query && thinks {
                    let reasoning = message.reasoning.trim_matches('\n');
                    let content = content.trim_start_matches('\n');
                    write(
                        &mut text,
                        format_args!("<think>\n{reasoning}\n</think>\n\n{content}"),
                    );
                } else {
                    text.push_str(content);
                }
                write_calls(&mut text, message)?;
                text.push_str("<|im_end|>\n");
            }
        }
    }
    text.push_str("<|im_start|>assistant\n");
    Ok(text)
}

/// The original asks of each call whether it equals the first, rather than whether it is the
/// first: so equal calls stand on one line.
fn write_calls(text: &mut String, message: &Message) -> Result<(), Exception> {
    for call in &message.calls {
        if *call != message.calls[0] || !message.content.is_empty() {
            text.push('\n');
        }
        let call = match call.as_dict().and_then(|call| call.get("function")) {
            Some(function) => function,
            None => call,
        };
        let call = call.as_dict().ok_or_else(|| not_a_call(call))?;
        let name = field(call, "name")?;
        let name = name.as_str().ok_or_else(|| not_a_call(name))?;
        let arguments = match field(call, "arguments")? {
            Value::Str(json) => json.clone(),
            arguments => python::json_dumps(arguments, &JsonStyle::ascii())?,
        };
        write(
            text,
            format_args!(
                "<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {arguments}}}\n</tool_call>"
            ),
        );
    }
    Ok(())
}

fn field<'a>(call: &'a Dict, key: &str) -> Result<&'a Value, Exception> {
    call.item(&Value::from(key))
}

fn not_a_call(value: &Value) -> Exception {
    Exception::type_error(format!(
        "a call in the history has a part of type '{}'",
        value.type_name()
    ))
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes all text");
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>";

    /// The prompt after a user's question and what the model replied.
    fn after(reply: &str, next: &str) -> Result<String, Exception> {
        let reply = read_reply(reply, Handler::Fc).message;
        let question = Message::new(Role::User, "Q");
        let next = Message::new(Role::Tool, next);
        let prompt = prompt(&[question, reply, next], &[])?;
        let before = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n";
        let after = "<|im_end|>\n<|im_start|>user\n<tool_response>\nR\n</tool_response><|im_end|>\n<|im_start|>assistant\n";
        let middle = prompt
            .strip_prefix(before)
            .and_then(|it| it.strip_suffix(after));
        Ok(middle.expect("a turn in its place").to_owned())
    }

    #[test]
    fn a_turn_that_calls_forgets_what_it_said() {
        let check = |reply: &str, expected: &str| {
            assert_eq!(after(reply, "R").as_deref(), Ok(expected), "{reply}");
        };
        check(&format!("I call.\n{CALL}"), CALL);
        check(
            &format!("<think>\nso\n</think>\n\n{CALL}"),
            &format!("<think>\nso\n</think>\n\n{CALL}"),
        );
        check(&format!("{CALL}\n{CALL}"), &format!("{CALL}{CALL}"));
        check(
            &format!("<think>{CALL}</think>No."),
            &format!("<think>\n{CALL}\n</think>\n\n{CALL}"),
        );
        check("<think>\n</think>\n\nNo.", "No.");
    }

    #[test]
    fn a_call_that_is_none_cannot_be_printed_again() {
        let check = |call: &str| {
            let reply = format!("<tool_call>\n{call}\n</tool_call>");
            assert!(after(&reply, "R").is_err(), "{call}");
        };
        check("[1]");
        check(r#"{"arguments": {}}"#);
        check(r#"{"name": null, "arguments": {}}"#);
        check(r#"{"name": "f"}"#);
    }

    #[test]
    fn thoughts_of_earlier_turns_are_forgotten() {
        let mut messages = vec![Message::new(Role::User, "a")];
        messages.push(read_reply("<think>\nb\n</think>\n\nc", Handler::Prompting).message);
        let with = prompt(&messages, &[]).expect("a prompt");
        assert!(with.contains("<think>\nb\n</think>\n\nc"), "{with}");
        messages.push(Message::new(Role::User, "<tool_response>d</tool_response>"));
        assert!(
            prompt(&messages, &[])
                .expect("a prompt")
                .contains("<think>")
        );
        messages.push(Message::new(Role::User, "d"));
        assert!(
            !prompt(&messages, &[])
                .expect("a prompt")
                .contains("<think>")
        );
    }
}

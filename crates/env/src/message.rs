//! Conversations in the form of OpenAI's API, which FTRL, verl and TRL share, and in ours.

use episode::{Message, Role, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::jsonl::LineProblem;
use crate::python_json::python_json;

/// Reads a conversation; `field` is where it stands. Text stays as it is, so that a turn may
/// have its reasoning in tags.
pub(crate) fn read_messages(field: &str, values: Vec<Value>) -> Result<Vec<Message>, LineProblem> {
    let read = |(index, value)| {
        read_message(value)
            .map_err(|problem| LineProblem::in_field(field, format!("message {index}: {problem}")))
    };
    values.into_iter().enumerate().map(read).collect()
}

/// Writes a conversation: arguments are text that holds JSON, and each call has an id, by
/// which the tools' messages behind it answer it.
pub(crate) fn write_messages(messages: &[Message]) -> Vec<Value> {
    let mut calls = 0;
    let mut unanswered = 0;
    let write = |message: &Message| {
        let mut value = json!({"role": message.role, "content": message.content});
        if let Some(reasoning) = &message.reasoning_content {
            value["reasoning_content"] = json!(reasoning);
        }
        if message.role == Role::Tool && unanswered < calls {
            value["tool_call_id"] = json!(id(unanswered));
            unanswered += 1;
        }
        if !message.tool_calls.is_empty() {
            unanswered = calls;
            let numbered = message.tool_calls.iter().enumerate();
            let written = numbered.map(|(place, call)| write_call(call, calls + place));
            value["tool_calls"] = written.collect();
            calls += message.tool_calls.len();
        }
        value
    };
    messages.iter().map(write).collect()
}

/// A call, with or without `function` around it; its arguments are an object, or one as text.
pub(crate) fn read_call(value: &Value) -> Result<ToolCall, String> {
    #[derive(Deserialize)]
    struct Function {
        name: String,
        arguments: Value,
    }
    let function = value.get("function").unwrap_or(value);
    let Function { name, arguments } = Function::deserialize(function)
        .map_err(|error| format!("one of its `tool_calls`: {error}"))?;
    let read: Result<Map<String, Value>, _> = match arguments {
        Value::String(text) => serde_json::from_str(&text),
        value => serde_json::from_value(value),
    };
    match read {
        Ok(arguments) => Ok(ToolCall { name, arguments }),
        Err(error) => Err(format!("`arguments` of its call of `{name}`: {error}")),
    }
}

fn read_message(value: Value) -> Result<Message, String> {
    #[derive(Deserialize)]
    struct Read {
        role: Role,
        content: Option<String>,
        reasoning_content: Option<String>,
        tool_calls: Option<Vec<Value>>,
    }
    let read: Read = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let calls = read.tool_calls.unwrap_or_default();
    Ok(Message {
        role: read.role,
        content: read.content.unwrap_or_default(),
        reasoning_content: read.reasoning_content,
        tool_calls: calls.iter().map(read_call).collect::<Result<_, _>>()?,
    })
}

fn write_call(call: &ToolCall, number: usize) -> Value {
    let arguments = python_json(&call.arguments).expect("arguments are plain JSON");
    let function = json!({"name": call.name, "arguments": arguments});
    json!({"id": id(number), "type": "function", "function": function})
}

fn id(number: usize) -> String {
    format!("call_{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: Value) -> ToolCall {
        let arguments = arguments.as_object().expect("an object").clone();
        ToolCall {
            name: name.to_owned(),
            arguments,
        }
    }

    #[test]
    fn a_conversation_is_read_back_and_every_answer_names_its_call() {
        let messages = vec![
            Message::new(Role::User, "Où?"),
            Message {
                reasoning_content: Some("hm".to_owned()),
                tool_calls: vec![call("f", json!({"x": "é"})), call("g", json!({}))],
                ..Message::new(Role::Assistant, "")
            },
            Message::new(Role::Tool, "1"),
            Message::new(Role::Tool, "2"),
            Message {
                tool_calls: vec![call("f", json!({}))],
                ..Message::new(Role::Assistant, "<think>\nwait\n</think>")
            },
            Message::new(Role::Tool, "3"),
        ];
        let written = write_messages(&messages);
        assert_eq!(
            written[1]["tool_calls"][0],
            json!({"id": "call_0", "type": "function",
                   "function": {"name": "f", "arguments": "{\"x\": \"é\"}"}})
        );
        let ids: Vec<&Value> = written
            .iter()
            .filter_map(|it| it.get("tool_call_id"))
            .collect();
        assert_eq!(ids, ["call_0", "call_1", "call_2"]);
        assert_eq!(read_messages("messages", written).unwrap(), messages);
    }

    #[test]
    fn a_message_that_cannot_be_read_is_named() {
        let check = |value: Value, expected: &str| {
            let problem = read_messages("prompt", vec![value]).unwrap_err();
            assert_eq!(problem.field.as_deref(), Some("prompt"));
            assert!(problem.problem.contains(expected), "{}", problem.problem);
        };
        check(json!({"role": "boss"}), "message 0: unknown variant `boss`");
        check(
            json!({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}),
            "message 0: `arguments` of its call of `f`: EOF",
        );
    }
}

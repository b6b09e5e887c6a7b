//! What an endpoint replies with, in the forms that servers are seen to use.

use serde_json::Value;

/// One assistant's message, as the endpoint returned it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reply {
    /// The text; servers without parsers of their own leave reasoning and calls in it.
    pub(crate) content: String,
    /// The reasoning, where the server keeps it apart.
    pub(crate) reasoning: Option<Reasoning>,
    /// What it calls, well or badly.
    pub(crate) calls: Vec<ReplyCall>,
    /// Whether a limit on tokens ended it.
    pub(crate) is_cut: bool,
    /// What the endpoint says it read and wrote.
    pub(crate) usage: Usage,
}

/// Reasoning, and the field that it came in, in which it is sent back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reasoning {
    pub(crate) field: &'static str,
    pub(crate) text: String,
}

/// A call as written: nothing of it need be well formed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ReplyCall {
    /// Empty where the reply names no tool.
    pub(crate) name: String,
    /// JSON, or what should have been.
    pub(crate) arguments: String,
}

/// Tokens of a request as its endpoint counted them; 0 where it did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read.
    pub prompt_tokens: u64,
    /// Written.
    pub completion_tokens: u64,
}

/// The fields in which servers keep reasoning apart.
pub(crate) const REASONING_FIELDS: [&str; 2] = ["reasoning_content", "reasoning"];

impl Reply {
    /// Reads the body of a reply that is not streamed; the error says what it lacks.
    pub(crate) fn read(body: &Value) -> Result<Self, String> {
        let choice = (body["choices"].get(0)).ok_or("it has no `choices`")?;
        let message = (choice["message"].as_object()).ok_or("its choice has no `message`")?;
        let message = Value::Object(message.clone());
        let calls = message["tool_calls"].as_array();
        Ok(Self {
            content: text_of(&message["content"]),
            reasoning: reasoning_of(&message),
            calls: calls.into_iter().flatten().map(ReplyCall::read).collect(),
            is_cut: choice["finish_reason"] == "length",
            usage: Usage::read(&body["usage"]),
        })
    }
}

impl ReplyCall {
    fn read(call: &Value) -> Self {
        let function = &call["function"];
        Self {
            name: function["name"].as_str().unwrap_or_default().to_owned(),
            arguments: arguments_of(&function["arguments"]),
        }
    }
}

impl Usage {
    pub(crate) fn read(usage: &Value) -> Self {
        let count = |name: &str| usage[name].as_u64().unwrap_or(0);
        Self {
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
        }
    }
}

/// Content is a text, a list of parts of which some are texts, or null.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}

/// The reasoning in a message or a piece of one; none where it is empty.
pub(crate) fn reasoning_of(message: &Value) -> Option<Reasoning> {
    REASONING_FIELDS.iter().find_map(|&field| {
        let text = message[field].as_str().filter(|text| !text.is_empty())?;
        Some(Reasoning {
            field,
            text: text.to_owned(),
        })
    })
}

/// Arguments are JSON as a text; some servers send the JSON itself.
pub(crate) fn arguments_of(arguments: &Value) -> String {
    match arguments {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(choice: Value) -> Reply {
        Reply::read(&json!({"choices": [choice]})).expect("a reply")
    }

    #[test]
    fn a_reply_is_read_in_the_forms_of_many_servers() {
        let reply = read(json!({
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant", "content": null, "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                    {"function": {"name": "g", "arguments": {"b": 2}}},
                    {"function": {"arguments": "{"}}, 7,
                ],
            },
        }));
        assert_eq!(reply.content, "");
        assert_eq!(
            reply.reasoning.map(|it| (it.field, it.text)),
            Some(("reasoning_content", "hm".to_owned()))
        );
        let call = |name: &str, arguments: &str| ReplyCall {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        assert_eq!(
            reply.calls,
            [
                call("f", "{\"a\": 1}"),
                call("g", "{\"b\":2}"),
                call("", "{"),
                call("", "")
            ]
        );
        assert!(!reply.is_cut);

        let reply = read(json!({
            "finish_reason": "length",
            "message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "reasoning": "r"},
        }));
        assert_eq!(reply.content, "ab");
        assert_eq!(reply.reasoning.map(|it| it.field), Some("reasoning"));
        assert!(reply.is_cut);
    }

    #[test]
    fn what_is_no_reply_says_what_it_lacks() {
        let check =
            |body: Value, expected: &str| assert_eq!(Reply::read(&body).unwrap_err(), expected);
        check(json!({"choices": []}), "it has no `choices`");
        check(json!([1]), "it has no `choices`");
        check(
            json!({"choices": [{"text": "hi"}]}),
            "its choice has no `message`",
        );
    }

    #[test]
    fn usage_is_what_the_endpoint_counted() {
        let body = json!({
            "choices": [{"message": {"content": "x"}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3},
        });
        let usage = Usage {
            prompt_tokens: 12,
            completion_tokens: 3,
        };
        assert_eq!(Reply::read(&body).expect("a reply").usage, usage);
    }
}

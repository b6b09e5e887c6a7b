//! From what a model said to the call strings that BFCL executes, as its authors' handlers for
//! Qwen3 and for prompting read it. What cannot be read is no error here: it ends a turn.
//!
//! Executing the strings, and asking the model, is done elsewhere.

use episode::ToolCall;
use python::{Dict, Exception, ExceptionKind, Value};
use serde::{Deserialize, Serialize};

const CALL: &str = "<tool_call>\n";
const CALL_END: &str = "\n</tool_call>";
const THINK: &str = "<think>";
const THINK_END: &str = "</think>";

/// How a model's text tells calls, by which of its authors' programs reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handler {
    /// JSON between `<tool_call>` tags, each on lines of their own: Qwen3's.
    Fc,
    /// The whole answer is `[f(a=1), g()]`: prompting.
    Prompting,
}

impl Handler {
    /// The handler of a model by its name in the leaderboard: those that end in `-FC`, or have
    /// `FC` in them, call natively.
    pub fn of_model(name: &str) -> Self {
        if name.contains("FC") {
            Self::Fc
        } else {
            Self::Prompting
        }
    }

    /// The call strings of an answer, its reasoning taken off. An error, in Python's words, or
    /// no call at all: the turn is over.
    pub fn decode(self, answer: &str) -> Result<Vec<String>, Exception> {
        match self {
            Self::Fc => tagged_calls(answer).iter().map(call_string).collect(),
            Self::Prompting => {
                let calls = python::parse_call_list(answer)?;
                calls
                    .iter()
                    .map(|call| prompting_string(&call.function, &call.keywords))
                    .collect()
            }
        }
    }

    /// A call with JSON arguments as the string that this handler would have decoded.
    pub fn print(self, call: &ToolCall) -> String {
        let arguments = call.arguments.iter();
        let arguments = arguments.map(|(name, value)| (name.clone(), Value::from(value)));
        match self {
            Self::Fc => printed(&call.name, arguments, ","),
            Self::Prompting => {
                let arguments: Vec<_> = arguments.collect();
                // A dict without items is no call of anything: the original fails to print
                // it, so no call with one arrives here from a text.
                prompting_string(&call.name, &arguments)
                    .unwrap_or_else(|_| printed(&call.name, arguments.into_iter(), ", "))
            }
        }
    }
}

/// Call strings of what a function-calling interface returns: names, and arguments as JSON.
pub fn api_calls<'a>(
    calls: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<String>, Exception> {
    let print = |(name, arguments): (&str, &str)| fc_string(name, &Value::from(arguments));
    calls.into_iter().map(print).collect()
}

/// A reply in two: what stands before the first `</think>`, and what stands after the last.
/// Without one it is all answer.
pub fn split_reasoning(reply: &str) -> (&str, &str) {
    let (Some((before, _)), Some((_, answer))) =
        (reply.split_once(THINK_END), reply.rsplit_once(THINK_END))
    else {
        return ("", reply);
    };
    let before = before.trim_end_matches('\n');
    let reasoning = before.rsplit_once(THINK).map_or(before, |(_, after)| after);
    (
        reasoning.trim_start_matches('\n'),
        answer.trim_start_matches('\n'),
    )
}

/// Every JSON value between tags; what is not JSON is passed over.
pub(crate) fn tagged_calls(text: &str) -> Vec<Value> {
    let mut calls = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(CALL) {
        let Some((body, after)) = after.split_once(CALL_END) else {
            break;
        };
        calls.extend(python::json_loads(body));
        rest = after;
    }
    calls
}

fn call_string(call: &Value) -> Result<String, Exception> {
    let Value::Dict(call) = call else {
        return Err(Exception::value_error(
            "Model did not return a list of function calls",
        ));
    };
    let name = field(call, "name")?;
    let arguments = field(call, "arguments")?;
    name.check_hashable()?;
    fc_string(&name.to_string(), arguments)
}

fn field<'a>(dict: &'a Dict, key: &str) -> Result<&'a Value, Exception> {
    dict.item(&Value::from(key))
}

/// Arguments may be a dict, or the JSON of one.
fn fc_string(name: &str, arguments: &Value) -> Result<String, Exception> {
    let read;
    let arguments = match arguments {
        Value::Str(text) => {
            read = python::json_loads(text)?;
            &read
        }
        arguments => arguments,
    };
    let Value::Dict(arguments) = arguments else {
        return Err(Exception::attribute_error(arguments, "items"));
    };
    let arguments = arguments.iter();
    let arguments = arguments.map(|(name, value)| (name.to_string(), value.clone()));
    Ok(printed(name, arguments, ","))
}

fn printed(name: &str, arguments: impl Iterator<Item = (String, Value)>, comma: &str) -> String {
    let arguments: Vec<_> = arguments
        .map(|(name, value)| format!("{name}={}", value.repr()))
        .collect();
    format!("{name}({})", arguments.join(comma))
}

fn prompting_string(name: &str, arguments: &[(String, Value)]) -> Result<String, Exception> {
    let arguments: Result<Vec<_>, Exception> = arguments
        .iter()
        .map(|(name, value)| Ok(format!("{name}={}", prompting_value(value)?)))
        .collect();
    Ok(format!("{name}({})", arguments?.join(", ")))
}

/// A dict of nothing but dicts stands for a call, since that is what a nested call was read as.
fn prompting_value(value: &Value) -> Result<String, Exception> {
    let Value::Dict(dict) = value else {
        return Ok(value.repr());
    };
    if dict.values().any(|value| !matches!(value, Value::Dict(_))) {
        let items: Result<Vec<_>, Exception> = dict
            .iter()
            .map(|(key, value)| Ok(format!("'{key}': {}", prompting_value(value)?)))
            .collect();
        return Ok(format!("{{{}}}", items?.join(", ")));
    }
    let Some((name, Value::Dict(arguments))) = dict.iter().next() else {
        return Err(Exception::new(
            ExceptionKind::Index,
            "list index out of range",
        ));
    };
    let arguments: Vec<_> = arguments
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect();
    prompting_string(&name.to_string(), &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_its_reasoning_and_its_answer() {
        let check = |reply: &str, reasoning: &str, answer: &str| {
            assert_eq!(split_reasoning(reply), (reasoning, answer), "{reply}");
        };
        check("<think>\na\n</think>\n\nb\n", "a", "b\n");
        check("a", "", "a");
        check("a</think>b", "a", "b");
        check("x<think>y<think>\nz\n\n</think>u</think>\nv", "z", "v");
        check("<think>\n</think>\n\nb", "", "b");
    }

    #[test]
    fn a_call_prints_as_the_handlers_would_have_decoded_it() {
        let call = ToolCall {
            name: "f".to_owned(),
            arguments: serde_json::json!({"a": 1.0, "b": {"g": {"x": "it's"}}, "c": {}})
                .as_object()
                .expect("an object")
                .clone(),
        };
        assert_eq!(
            Handler::Fc.print(&call),
            "f(a=1.0,b={'g': {'x': \"it's\"}},c={})"
        );
        let mut call = call;
        assert_eq!(
            Handler::Prompting.print(&call),
            "f(a=1.0, b={'g': {'x': \"it's\"}}, c={})"
        );
        call.arguments.remove("c");
        assert_eq!(Handler::Prompting.print(&call), "f(a=1.0, b=g(x=\"it's\"))");
    }
}

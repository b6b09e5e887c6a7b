//! Turns that write their calls as a Python list: all that follows the reasoning is
//! `[f(a=1), g()]`, read by the rules of BFCL's prompting mode, or it is an answer.

use episode::{ParseFailure, Part, ToolCall};

use super::{Reading, THINK, THINK_END, end_of};

/// Reads the bytes of a turn without its stop token. `thinking` where the prompt has opened the
/// reasoning already; `cut_off` where a token limit ended the turn, so that a list which has no
/// end is [`ParseFailure::Unclosed`]. Any other list that cannot be read is text.
pub(crate) fn read_list(bytes: &[u8], thinking: bool, cut_off: bool) -> Reading {
    let start = end_of_reasoning(bytes, thinking);
    let answer = String::from_utf8_lossy(&bytes[start..]);
    let mut reading = Reading::default();
    if cut_off && answer.trim_start().starts_with('[') && !answer.trim_end().ends_with(']') {
        reading.failures.push(ParseFailure::Unclosed);
    } else {
        // An error is Python's, for nobody: BFCL's authors take such a turn for an answer.
        let calls = python::parse_call_list(&answer).unwrap_or_default();
        reading.calls = calls.into_iter().map(tool_call).collect();
    }
    reading.has_call = !(reading.calls.is_empty() && reading.failures.is_empty());
    if start > 0 {
        reading.parts.push((start, Part::Reasoning));
    }
    if start < bytes.len() {
        reading.parts.push((bytes.len(), reading.stop_part()));
    }
    reading
}

/// A turn of an expert in the place of the policy: calls as [`read_list`] reads them.
pub(crate) fn print_list(calls: &[ToolCall]) -> String {
    let print = |call: &ToolCall| {
        let arguments = call.arguments.iter();
        let arguments: Vec<String> = arguments
            .map(|(name, value)| format!("{name}={}", python::Value::from(value).repr()))
            .collect();
        format!("{}({})", call.name, arguments.join(", "))
    };
    let calls: Vec<String> = calls.iter().map(print).collect();
    format!("[{}]", calls.join(", "))
}

/// Reasoning ends with its last closing tag; without one it is whatever an opening tag begins.
fn end_of_reasoning(bytes: &[u8], thinking: bool) -> usize {
    let mut end = 0;
    while let Some(next) = end_of(bytes, THINK_END, end) {
        end = next;
    }
    let opened = bytes.trim_ascii_start().starts_with(THINK.as_bytes());
    if end == 0 && (thinking || opened) {
        return bytes.len();
    }
    end
}

fn tool_call(call: python::KeywordCall) -> ToolCall {
    let arguments = call.keywords.iter();
    ToolCall {
        name: call.function,
        arguments: arguments
            .map(|(name, value)| (name.clone(), value.to_json()))
            .collect(),
    }
}

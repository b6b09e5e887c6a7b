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
            .map(|(name, value)| (name.clone(), value.into()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn call(name: &str, arguments: serde_json::Value) -> ToolCall {
        let serde_json::Value::Object(arguments) = arguments else {
            panic!("arguments are an object");
        };
        ToolCall {
            name: name.to_owned(),
            arguments,
        }
    }

    fn calls(text: &str) -> Vec<ToolCall> {
        read_list(text.as_bytes(), false, false).calls
    }

    /// The parts of a turn as text: R, C or A for each byte.
    fn letters(text: &str, thinking: bool, cut_off: bool) -> String {
        read_list(text.as_bytes(), thinking, cut_off)
            .parts_of_tokens(text.bytes().map(|_| 1))
            .into_iter()
            .map(|part| match part {
                Part::Context => 'x',
                Part::Reasoning => 'R',
                Part::Call => 'C',
                Part::Answer => 'A',
            })
            .collect()
    }

    #[test]
    fn a_list_after_the_reasoning_is_calls() {
        let text = "<think>\n[h()]\n</think>\n\n[f(a=1, b='x', c=[1.0, None]), g()]\n";
        let expected = [
            call("f", json!({"a": 1, "b": "x", "c": [1.0, null]})),
            call("g", json!({})),
        ];
        assert_eq!(calls(text), expected);
        assert_eq!(calls("[g()"), [call("g", json!({}))]);
        assert_eq!(
            calls("f(a=(1, {'k': True}))"),
            [call("f", json!({"a": [1, {"k": true}]}))]
        );
    }

    #[test]
    fn anything_else_is_an_answer() {
        let check = |text: &str| {
            let reading = read_list(text.as_bytes(), false, false);
            assert_eq!(
                (reading.calls, reading.failures),
                (vec![], vec![]),
                "{text}"
            );
            assert!(!reading.has_call);
        };
        check("I cannot do this.");
        check("So: [f(a=1)]");
        check("[f(a=1), 2]");
        check("[f(a=");
        check("[]");
        check("");
        check("<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>");
        check("<think>\n[f()]");
    }

    #[test]
    fn a_list_that_a_limit_cut_is_unclosed() {
        let check = |text: &str, expected: &[ParseFailure]| {
            let reading = read_list(text.as_bytes(), false, true);
            assert_eq!(reading.failures, expected, "{text}");
        };
        check("a</think>[f(a=1), g(", &[ParseFailure::Unclosed]);
        check("[f()", &[ParseFailure::Unclosed]);
        check("[f()]", &[]);
        check("I thi", &[]);
        check("<think>[f(", &[]);
    }

    #[test]
    fn every_byte_has_its_part() {
        let check = |text: &str, thinking: bool, expected: &str| {
            assert_eq!(letters(text, thinking, false), expected, "{text}");
        };
        check("a</think>\n[f()]", true, "RRRRRRRRRCCCCCC");
        check("a</think>\nno", false, "RRRRRRRRRAAA");
        check("f()", false, "CCC");
        check("<think>f()", false, "RRRRRRRRRR");
        check("f()", true, "RRR");
        check("", false, "");
        assert_eq!(letters("[f(", false, true), "CCC");
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_filter_map("finite", |x| x.is_finite().then(|| x.into())),
            "\\PC{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::vec(inner, 0..4).prop_map(Into::into)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn calls_read_back_as_they_were_printed(
            names in prop::collection::vec("[a-z]{2}_[a-z]{1,5}", 0..3),
            fields in prop::collection::vec(("[a-z]{2}_", value()), 0..4),
        ) {
            let arguments: serde_json::Map<_, _> = fields.into_iter().collect();
            let made: Vec<ToolCall> = names
                .into_iter()
                .map(|name| ToolCall { name, arguments: arguments.clone() })
                .collect();
            prop_assert_eq!(calls(&print_list(&made)), made);
        }

        #[test]
        fn no_bytes_break_the_reader(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            text in "[\\[\\](){}'\"=,f.1<>/think \n-]{0,40}",
            thinking: bool,
            cut_off: bool,
        ) {
            let bytes = [text.as_bytes(), &bytes].concat();
            let reading = read_list(&bytes, thinking, cut_off);
            let parts = reading.parts_of_tokens(bytes.iter().map(|_| 1));
            prop_assert_eq!(parts.len(), bytes.len());
            prop_assert_eq!(parts.contains(&Part::Call), reading.has_call);
        }
    }
}

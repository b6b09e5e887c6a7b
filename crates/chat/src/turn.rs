//! Reading one turn: which bytes are reasoning, calls and answer, and which calls it makes, in
//! the form of Hermes and Qwen. It reads bytes, so that tags need not be single tokens and
//! what is not text does no harm.

mod list;

use std::ops::Range;

use episode::{ParseFailure, Part, ToolCall};
use serde_json::{Map, Value};

pub(crate) use self::list::{print_list, read_list};

pub(crate) const THINK: &str = "<think>";
pub(crate) const THINK_END: &str = "</think>";
const CALL: &str = "<tool_call>";
const CALL_END: &str = "</tool_call>";

/// What a turn says.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) failures: Vec<ParseFailure>,
    /// Consecutive parts, each with the byte that it ends before; the last ends the turn.
    parts: Vec<(usize, Part)>,
    /// Whether the turn calls, well or badly.
    pub(crate) has_call: bool,
}

/// Reads the bytes of a turn without its stop token. `thinking` where the prompt has opened
/// the reasoning already; `cut_off` where a token limit ended the turn.
pub(crate) fn read(bytes: &[u8], thinking: bool, cut_off: bool) -> Reading {
    let mut reading = Reading::default();
    let mut marked: Vec<(Range<usize>, Part)> = Vec::new();
    let mut at = 0;
    if thinking {
        at = end_of(bytes, THINK_END, 0).unwrap_or(bytes.len());
        marked.push((0..at, Part::Reasoning));
    }
    let mut tags = Tags::new(bytes);
    while let Some((start, part)) = tags.next(at) {
        at = match part {
            Part::Reasoning => end_of(bytes, THINK_END, start),
            _ => end_of(bytes, CALL_END, start),
        }
        .unwrap_or(bytes.len());
        if part == Part::Call {
            match parse_block(&bytes[start..at]) {
                Ok(call) => reading.calls.push(call),
                Err(failure) => reading.failures.push(failure),
            }
        }
        marked.push((start..at, part));
    }
    if cut_off && let Some(start) = half_a_call_tag(&bytes[at..]) {
        reading.failures.push(ParseFailure::Unclosed);
        marked.push((at + start..bytes.len(), Part::Call));
    }
    reading.has_call = marked.iter().any(|(_, part)| *part == Part::Call);
    reading.parts = fill_gaps(bytes, &marked, reading.has_call);
    reading
}

impl Reading {
    /// The part of each token: that of its first byte. `lengths` are the tokens' bytes.
    pub(crate) fn parts_of_tokens(&self, lengths: impl Iterator<Item = usize>) -> Vec<Part> {
        let mut parts = self.parts.iter().peekable();
        let mut start = 0;
        lengths
            .map(|length| {
                while parts.next_if(|(end, _)| *end <= start).is_some() {}
                start += length;
                parts.peek().map_or(Part::Answer, |(_, part)| *part)
            })
            .collect()
    }

    /// What the bytes that were read say outside reasoning and calls.
    pub(crate) fn content(&self, bytes: &[u8]) -> String {
        let mut start = 0;
        let mut content = Vec::new();
        for &(end, part) in &self.parts {
            if part == Part::Answer {
                content.extend_from_slice(&bytes[start..end]);
            }
            start = end;
        }
        String::from_utf8_lossy(&content).trim().to_owned()
    }

    /// The part of the token that ends the turn.
    pub(crate) fn stop_part(&self) -> Part {
        if self.has_call {
            Part::Call
        } else {
            Part::Answer
        }
    }
}

/// What lies between the marked ranges is answer; white space in a turn that calls is of the
/// calls, since it is how they are laid out.
fn fill_gaps(bytes: &[u8], marked: &[(Range<usize>, Part)], has_call: bool) -> Vec<(usize, Part)> {
    let mut parts = Vec::new();
    let mut at = 0;
    let end = (bytes.len()..bytes.len(), Part::Answer);
    for (range, part) in marked.iter().chain([&end]) {
        if at < range.start {
            let blank = bytes[at..range.start].iter().all(u8::is_ascii_whitespace);
            let gap = if blank && has_call {
                Part::Call
            } else {
                Part::Answer
            };
            parts.push((range.start, gap));
        }
        if !range.is_empty() {
            parts.push((range.end, *part));
        }
        at = range.end;
    }
    parts
}

/// Opening tags, each found once: a turn of many calls is not searched to its end for the
/// reasoning that never comes, before every one of them.
struct Tags<'b> {
    bytes: &'b [u8],
    think: Option<usize>,
    call: Option<usize>,
}

impl<'b> Tags<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes,
            think: find(bytes, THINK, 0),
            call: find(bytes, CALL, 0),
        }
    }

    /// The next reasoning or call from a place on, whichever opens first.
    fn next(&mut self, from: usize) -> Option<(usize, Part)> {
        let next = |known: Option<usize>, tag: &str| match known {
            Some(at) if at < from => find(self.bytes, tag, from),
            known => known,
        };
        (self.think, self.call) = (next(self.think, THINK), next(self.call, CALL));
        let think = self.think.map(|at| (at, Part::Reasoning));
        let call = self.call.map(|at| (at, Part::Call));
        think
            .into_iter()
            .chain(call)
            .min_by_key(|(start, _)| *start)
    }
}

fn find(bytes: &[u8], tag: &str, from: usize) -> Option<usize> {
    bytes[from..]
        .windows(tag.len())
        .position(|window| window == tag.as_bytes())
        .map(|at| from + at)
}

fn end_of(bytes: &[u8], tag: &str, from: usize) -> Option<usize> {
    find(bytes, tag, from).map(|at| at + tag.len())
}

/// Where a cut has left the beginning of a call's tag. A lone `<` may be anything.
fn half_a_call_tag(bytes: &[u8]) -> Option<usize> {
    (2..CALL.len())
        .rev()
        .find(|&length| bytes.ends_with(&CALL.as_bytes()[..length]))
        .map(|length| bytes.len() - length)
}

/// Reads a call from its opening tag to its closing tag, if it has one.
fn parse_block(block: &[u8]) -> Result<ToolCall, ParseFailure> {
    let body = block[CALL.len()..]
        .strip_suffix(CALL_END.as_bytes())
        .ok_or(ParseFailure::Unclosed)?;
    let value: Value = serde_json::from_str(String::from_utf8_lossy(body).trim())
        .map_err(|error| ParseFailure::NotJson(error.to_string()))?;
    call_of(value).map_err(ParseFailure::NotACall)
}

fn call_of(value: Value) -> Result<ToolCall, String> {
    let Value::Object(mut fields) = value else {
        return Err(format!("expected an object, found {}", kind(&value)));
    };
    let name = match fields.remove("name") {
        Some(Value::String(name)) if !name.is_empty() => name,
        Some(other) => {
            return Err(format!(
                "`name` is {}, expected a tool's name",
                kind(&other)
            ));
        }
        None => return Err("`name` is missing".to_owned()),
    };
    let arguments = match fields.remove("arguments") {
        Some(arguments) => arguments_of(arguments)?,
        None => return Err("`arguments` is missing".to_owned()),
    };
    Ok(ToolCall { name, arguments })
}

/// Arguments are an object, or a string that holds one as JSON.
fn arguments_of(value: Value) -> Result<Map<String, Value>, String> {
    let value = match value {
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| format!("`arguments` is a string that is not JSON: {error}"))?,
        value => value,
    };
    match value {
        Value::Object(arguments) => Ok(arguments),
        other => Err(format!(
            "`arguments` is {}, expected an object",
            kind(&other)
        )),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn call(name: &str, arguments: Value) -> ToolCall {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object");
        };
        ToolCall {
            name: name.to_owned(),
            arguments,
        }
    }

    /// The parts of a turn as text: R, C or A for each byte.
    fn letters(text: &str, thinking: bool, cut_off: bool) -> String {
        read(text.as_bytes(), thinking, cut_off)
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

    /// In time that grows with the turn: were the rest searched for reasoning before each call,
    /// this would take minutes.
    #[test]
    fn a_turn_of_very_many_calls_is_read() {
        let count = 1 << 16;
        let block = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
        let reading = read(block.repeat(count).as_bytes(), false, false);
        assert_eq!(reading.calls.len(), count);
        assert!(reading.failures.is_empty());
    }

    #[test]
    fn calls_are_read_in_order_and_text_between_them_is_ignored() {
        let text = "<think>\nno <tool_call>{\"name\":\"t\",\"arguments\":{}}</tool_call>\n</think>\n\nSure.\n\
            <tool_call>\n{\"name\": \"a\", \"arguments\": {\"z\": 1, \"b\": [\"<think>\"]}}\n</tool_call>\nand\n\
            <tool_call>{\"name\": \"b\", \"arguments\": \"{\\\"x\\\": null}\"}</tool_call>";
        let reading = read(text.as_bytes(), false, false);
        assert_eq!(reading.failures, []);
        assert_eq!(
            reading.calls,
            [
                call("a", json!({"z": 1, "b": ["<think>"]})),
                call("b", json!({"x": null}))
            ]
        );
    }

    #[test]
    fn what_is_not_a_call_is_named() {
        let check = |body: &str, expected: ParseFailure| {
            let reading = read(body.as_bytes(), false, false);
            assert_eq!(reading.calls, [], "{body}");
            assert_eq!(reading.failures, [expected], "{body}");
            assert!(reading.has_call);
        };
        let not_a_call = |text: &str| ParseFailure::NotACall(text.to_owned());
        check(
            "<tool_call>[1]</tool_call>",
            not_a_call("expected an object, found an array"),
        );
        check(
            "<tool_call>{\"arguments\": {}}</tool_call>",
            not_a_call("`name` is missing"),
        );
        check(
            "<tool_call>{\"name\": 3}</tool_call>",
            not_a_call("`name` is a number, expected a tool's name"),
        );
        check(
            "<tool_call>{\"name\": \"f\"}</tool_call>",
            not_a_call("`arguments` is missing"),
        );
        check(
            "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>",
            not_a_call("`arguments` is null, expected an object"),
        );
        check(
            "<tool_call>{\"name\": \"f\", \"arguments\": {}}",
            ParseFailure::Unclosed,
        );
        let broken = read(b"<tool_call>{\"name\": \xff</tool_call>", false, false);
        assert!(matches!(broken.failures[..], [ParseFailure::NotJson(_)]));
    }

    #[test]
    fn a_call_cut_off_is_unclosed_and_those_before_it_stay() {
        let whole = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
        for cut in CALL.len()..whole.len() {
            let text = format!("{whole}{}", &whole[..cut]);
            let reading = read(text.as_bytes(), false, true);
            assert_eq!(reading.calls.len(), 1);
            assert_eq!(reading.failures, [ParseFailure::Unclosed]);
        }
        assert_eq!(
            read(b"so <tool_c", false, true).failures,
            [ParseFailure::Unclosed]
        );
        assert_eq!(read(b"so <tool_c", false, false).failures, []);
    }

    #[test]
    fn every_byte_has_its_part() {
        let check = |text: &str, thinking: bool, expected: &str| {
            assert_eq!(letters(text, thinking, false), expected, "{text}");
        };
        check("<think>a</think>\nb", false, "RRRRRRRRRRRRRRRRAA");
        check("a</think>b", true, "RRRRRRRRRA");
        check("a</think>b", false, "AAAAAAAAAA");
        check("ab", true, "RR");
        check("<tool_call></tool_call>\n", false, &"C".repeat(24));
        check("x\n<tool_call>", false, "AACCCCCCCCCCC");
        check("", false, "");
    }

    #[test]
    fn content_is_what_is_neither_reasoning_nor_a_call() {
        let check = |text: &str, thinking: bool, expected: &str| {
            let bytes = text.as_bytes();
            assert_eq!(
                read(bytes, thinking, false).content(bytes),
                expected,
                "{text}"
            );
        };
        check("<think>a</think>\n\n It is b.\n", false, "It is b.");
        check("a</think>b", true, "b");
        check(
            "a\n<tool_call>{}</tool_call>\nb<think>c</think>d",
            false,
            "a\n\nbd",
        );
        check("<tool_call>{}</tool_call>\n<tool_call>", false, "");
        check("<think>a", false, "");
        check("", false, "");
        let bytes = b"caf\xc3";
        assert_eq!(read(bytes, false, false).content(bytes), "caf\u{fffd}");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |x| x.is_finite().then(|| Value::from(x))),
            "[^<]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[^<]{0,4}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn calls_read_back_as_they_were_printed(
            name in "[a-z_]{1,9}",
            fields in prop::collection::vec(("[^<]{0,4}", json_value()), 0..4),
        ) {
            let arguments = Value::Object(fields.into_iter().collect());
            let printed = python::json_dumps(&(&arguments).into(), &Default::default()).unwrap();
            let text = format!("<tool_call>\n{{\"name\": \"{name}\", \"arguments\": {printed}}}\n</tool_call>");
            let reading = read(text.as_bytes(), false, false);
            prop_assert_eq!(reading.failures, []);
            prop_assert_eq!(reading.calls, [call(&name, arguments)]);
        }

        #[test]
        fn no_bytes_break_the_reader(
            pieces in prop::collection::vec(
                prop_oneof![
                    Just(THINK.as_bytes().to_vec()), Just(THINK_END.as_bytes().to_vec()),
                    Just(CALL.as_bytes().to_vec()), Just(CALL_END.as_bytes().to_vec()),
                    prop::collection::vec(any::<u8>(), 0..6),
                ],
                0..12,
            ),
            thinking: bool,
            cut_off: bool,
        ) {
            let bytes = pieces.concat();
            let reading = read(&bytes, thinking, cut_off);
            let parts = reading.parts_of_tokens(bytes.iter().map(|_| 1));
            prop_assert_eq!(parts.len(), bytes.len());
            prop_assert!(!parts.contains(&Part::Context));
            prop_assert_eq!(parts.contains(&Part::Call), reading.has_call);
        }
    }
}
